package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/dustin/go-humanize"

	"cairn/pipeline/pattern"
	"cairn/pipeline/selection"
)

// exclusion says what a backup leaves out.
type exclusion struct {
	Exclude           []string `short:"e" placeholder:"PATTERN" sep:"none" help:"Leave out what matches, as in .gitignore: *.o, build/, /home/*/tmp; !keep.o keeps."`
	ExcludeFrom       []string `placeholder:"FILE" sep:"none" help:"Leave out what matches a pattern of this file, one a line."`
	IgnoreFile        []string `placeholder:"NAME" sep:"none" help:"Let files of this name say what is left out of their directories: .cairnignore, .gitignore."`
	ExcludeCaches     bool     `help:"Keep only the tag of directories with a CACHEDIR.TAG."`
	ExcludeIfPresent  []string `placeholder:"NAME" sep:"none" help:"Keep only NAME of directories that contain it: .nobackup."`
	ExcludeLargerThan byteSize `placeholder:"SIZE" help:"Leave out files larger than this: 500MB, 2GiB."`
	ExcludeNodump     bool     `help:"Leave out what has the flag \"no dump\" (chattr +d)."`
	OneFileSystem     bool     `short:"x" help:"Stay in the file systems of the paths: keep mount points empty."`
}

// rules returns the selection that the flags describe.
func (x *exclusion) rules() (selection.Options, error) {
	for _, name := range append(x.IgnoreFile, x.ExcludeIfPresent...) {
		if name == "" || strings.Contains(name, "/") {
			return selection.Options{}, usage(fmt.Errorf("%q is not a name that a file can have: no path is meant", name))
		}
	}
	patterns, err := readPatterns("--exclude", x.Exclude, "--exclude-from", x.ExcludeFrom)
	return selection.Options{
		Patterns: patterns, IgnoreFiles: x.IgnoreFile, Tags: x.ExcludeIfPresent, Caches: x.ExcludeCaches,
		LargerThan: int64(x.ExcludeLargerThan), NoDump: x.ExcludeNodump,
	}, err
}

// readPatterns returns the patterns of files, and after them those of the
// command line, which so have the last word. Errors name the flags.
func readPatterns(flag string, typed []string, fileFlag string, files []string) (*pattern.List, error) {
	list := new(pattern.List)
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return nil, usage(fmt.Errorf("%s: %w", fileFlag, err))
		}
		err = list.Read(f)
		f.Close()
		if err != nil {
			return nil, usage(fmt.Errorf("%s %s: %w", fileFlag, path, err))
		}
	}
	for _, p := range typed {
		if err := list.Add(p); err != nil {
			return nil, usage(fmt.Errorf("%s: %w", flag, err))
		}
	}
	return list, nil
}

// byteSize is a number of bytes, as people write it.
type byteSize int64

// UnmarshalText reads "500MB", "2GiB" or "4096".
func (s *byteSize) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n == 0 || n > 1<<62 {
		return fmt.Errorf("%q is not a size such as 500MB, 2GiB or 4096", text)
	}
	*s = byteSize(n)
	return nil
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/dustin/go-humanize"

	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/pattern"
	"cairn/pipeline/walk"
)

// sources says what is backed up, besides the paths.
type sources struct {
	FilesFrom        []string  `placeholder:"FILE" sep:"none" help:"Also back up the paths in this file, one a line; - is standard input."`
	FilesFrom0       []string  `name:"files-from0" placeholder:"FILE" sep:"none" help:"Likewise, each path ended by a zero byte, as find -print0 does."`
	FilesFromCommand []string  `placeholder:"COMMAND" sep:"none" help:"Likewise, from what a shell command prints, one a line or ended by zero bytes."`
	StdinName        string    `default:"stdin" placeholder:"NAME" help:"What standard input, the path -, is called in the archive (default: ${default})."`
	StdinCommand     bool      `help:"The arguments are a command: back up what it prints. If it fails, no archive is made."`
	ReadSpecial      bool      `help:"Back up what block devices and fifos contain, and not the devices."`
	Fixed            fixedList `placeholder:"GLOB" help:"Cut files that match at multiples of 128KiB, or of another size: for disk images and databases. --fixed '*.img', --fixed=64KiB '*.db'."`
}

// source is what a backup is made from.
type source struct {
	roots    []walk.Root
	stream   *backup.Stream
	recorded []record.Root // what the archive says; nil: the roots
	series   string        // named after it
}

// stdinMode is the mode of a file that comes from standard input: who may read
// it is not known.
const stdinMode = 0o600

// find works out what paths and flags mean.
func (s *sources) find(ctx context.Context, paths []string) (source, error) {
	switch {
	case s.StdinCommand && len(paths) == 0:
		return source{}, usage(errors.New("--stdin-command needs a command: --stdin-command -- pg_dump db"))
	case s.StdinCommand:
		return s.stream(func() (io.ReadCloser, error) { return startCommand(ctx, paths) })
	case slices.Contains(paths, "-") && len(paths) == 1:
		return s.stream(func() (io.ReadCloser, error) { return os.Stdin, nil })
	case slices.Contains(paths, "-"):
		return source{}, usage(errors.New("standard input (-) is an archive of its own: give no other paths"))
	}
	listed, names, err := s.lists(ctx)
	if err != nil {
		return source{}, err
	}
	if len(paths)+len(names) == 0 {
		return source{}, usage(errors.New("there is nothing to back up: name paths"))
	}
	roots, err := plan(paths)
	if err != nil {
		return source{}, err
	}
	out := source{roots: roots, series: seriesOf(roots)}
	if len(names) == 0 {
		return out, nil
	}
	// The archive does not say that it has all of what the lists name: they
	// change, and may be long.
	out.recorded = []record.Root{}
	for _, root := range roots {
		out.recorded = append(out.recorded, record.Root{Source: root.Source, Path: root.Path})
	}
	out.series = strings.TrimSpace(out.series + " " + strings.Join(names, " "))
	out.roots, err = planRoots(slices.Concat(paths, listed))
	return out, err
}

// stream returns the source that open gives.
func (s *sources) stream(open func() (io.ReadCloser, error)) (source, error) {
	name := strings.TrimLeft(path.Clean("/"+s.StdinName), "/")
	if name == "" || strings.Contains(name, "\x00") {
		return source{}, usage(fmt.Errorf("--stdin-name %q is no name for a file", s.StdinName))
	}
	if len(s.FilesFrom)+len(s.FilesFrom0)+len(s.FilesFromCommand) > 0 {
		return source{}, usage(errors.New("standard input is an archive of its own: give no lists of files"))
	}
	return source{
		stream:   &backup.Stream{Path: name, Mode: stdinMode, Open: open},
		recorded: []record.Root{{Source: name, Path: name}}, series: name,
	}, nil
}

// lists reads the lists of paths, and says what they are called.
func (s *sources) lists(ctx context.Context) (paths, names []string, err error) {
	read := func(flag, name, delimiter string, get func(string) ([]byte, error)) {
		if err != nil {
			return
		}
		text, getErr := get(name)
		if getErr != nil {
			err = fmt.Errorf("%s %s: %w; no archive was made", flag, name, getErr)
			return
		}
		if bytes.IndexByte(text, 0) >= 0 {
			delimiter = "\x00" // no path has one
		}
		for p := range strings.SplitSeq(string(text), delimiter) {
			if p != "" {
				paths = append(paths, p)
			}
		}
		names = append(names, "@"+name)
	}
	for _, file := range s.FilesFrom {
		read("--files-from", file, "\n", readList)
	}
	for _, file := range s.FilesFrom0 {
		read("--files-from0", file, "\x00", readList)
	}
	for _, line := range s.FilesFromCommand {
		read("--files-from-command", line, "\n", func(line string) ([]byte, error) {
			cmd := exec.CommandContext(ctx, "sh", "-c", line)
			cmd.Stderr = os.Stderr
			return cmd.Output()
		})
	}
	return paths, names, err
}

func readList(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file)
}

// command is a running command, as what it prints.
type command struct {
	io.Reader
	cmd *exec.Cmd
}

func startCommand(ctx context.Context, args []string) (io.ReadCloser, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the command: %w; no archive was made", err)
	}
	return &command{out, cmd}, nil
}

// Close waits for the command to end.
func (c *command) Close() error {
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%s failed: %w; what it printed may not be all, and no archive was made", name(c.cmd.Args[0]), err)
	}
	return nil
}

// fixed is a pattern of files that are cut at fixed places, and how large the
// pieces are.
type fixed struct {
	size uint32 // bytes
	list *pattern.List
}

type fixedList []fixed

// Decode implements kong's way to read a flag: --fixed GLOB, or --fixed=SIZE
// GLOB. It is called for each.
func (l *fixedList) Decode(ctx *kong.DecodeContext) error {
	token, err := ctx.Scan.PopValue("pattern")
	if err != nil {
		return err
	}
	text := fmt.Sprint(token.Value)
	f := fixed{backup.FixedUnit, new(pattern.List)}
	if token.Type == kong.FlagValueToken {
		if isSize(text) {
			n, _ := humanize.ParseBytes(text) // it is one
			if f.size, err = fixedSize(n); err != nil {
				return err
			}
			if err := ctx.Scan.PopValueInto("pattern", &text); err != nil {
				return err
			}
		}
	}
	if err := f.list.Add(text); err != nil {
		return err
	}
	*l = append(*l, f)
	return nil
}

// isSize reports whether text is a size, and not a pattern.
func isSize(text string) bool {
	_, err := humanize.ParseBytes(text)
	return err == nil
}

func fixedSize(n uint64) (uint32, error) {
	size := uint32(min(n, backup.FixedUnit-1)) // too large either way
	return size, backup.CheckFixed(size)
}

// sizes returns how files are cut at fixed places: backup.Options.Fixed.
func (s *sources) sizes() func(string) uint32 {
	if len(s.Fixed) == 0 {
		return nil
	}
	return func(source string) uint32 {
		for i := len(s.Fixed) - 1; i >= 0; i-- {
			if s.Fixed[i].list.Match(source, pattern.Other) {
				return s.Fixed[i].size
			}
		}
		return 0
	}
}

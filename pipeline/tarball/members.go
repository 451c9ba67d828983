package tarball

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cairn/objects/archive"
)

// members are the entries of a tar file by their path in the archive. Memory:
// some 500 bytes for each, and its name, attributes and inline content; lists of
// chunks of a large file take up to 3 KiB more.
type members struct {
	latest map[string]*archive.Entry
	links  uint64 // sets of hard links so far
}

// Errors of members that are left out.
var (
	errOutside  = errors.New("is left out: its name leads out of the tar file")
	errTarget   = errors.New("is left out: it is a hard link to something that the tar file does not have before it")
	errLinkDir  = errors.New("is left out: it is a hard link to a directory")
	errLongName = errors.New("is left out: its name is too long")
	errNoTarget = errors.New("is left out: it is a symbolic link to nowhere")
)

// cleanName returns the path in the archive of a member with this name: empty
// for the top itself. It never leads out of the archive.
func cleanName(name string) (string, error) {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "", ".":
		case "..":
			return "", errOutside
		default:
			parts = append(parts, part)
		}
	}
	path := strings.Join(parts, "/")
	if path != "" && archive.CheckPath(path) != nil {
		return "", errLongName
	}
	return path, nil
}

// add takes an entry. One that came before with the same path is forgotten.
func (m *members) add(e *archive.Entry) { m.latest[e.Path] = e }

// link adds another name of what has the name target just now.
func (m *members) link(path, target string) error {
	to, err := cleanName(target)
	if err != nil {
		return fmt.Errorf("is left out: it is a hard link to %q, which leads out of the tar file", target)
	}
	first := m.latest[to]
	switch {
	case first == nil:
		return fmt.Errorf("%w: %q", errTarget, target)
	case first.Type == archive.Dir:
		return fmt.Errorf("%w: %q", errLinkDir, target)
	}
	if !first.HasLink {
		m.links++
		first.HasLink = true
		binary.BigEndian.PutUint64(first.Link[8:], m.links)
	}
	e := *first
	e.Path = path
	m.add(&e)
	return nil
}

// tree hands the entries to add in the order of archives, each behind the
// directories above it. Directories that the tar file does not have are made up,
// with the owner and the time of what is the first below. Nothing can be below
// what is not a directory: warn is told, and it is left out.
func (m *members) tree(add func(*archive.Entry) error, warn func(path string, err error)) error {
	var open []string // the directories above the entry before, and itself if it is one
	for _, path := range slices.SortedFunc(maps.Keys(m.latest), archive.ComparePaths) {
		e := m.latest[path]
		for len(open) > 0 && !strings.HasPrefix(path, open[len(open)-1]+"/") {
			open = open[:len(open)-1]
		}
		missing, err := m.missing(path, len(open))
		if err != nil {
			warn(path, err)
			continue
		}
		for _, dir := range missing {
			if err := add(impliedDir(dir, e)); err != nil {
				return err
			}
		}
		open = append(open, missing...)
		if err := add(e); err != nil {
			return err
		}
		if e.Type == archive.Dir {
			open = append(open, path)
		}
	}
	return nil
}

// missing returns the directories above path, but the first n.
func (m *members) missing(path string, n int) ([]string, error) {
	var dirs []string
	for i := range len(path) {
		if path[i] != '/' {
			continue
		}
		if n > 0 {
			n--
			continue
		}
		dir := path[:i]
		if above := m.latest[dir]; above != nil { // it would be open otherwise
			return nil, fmt.Errorf("is left out: it is below %q, which is a %s", dir, above.Type)
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// impliedMode is that of directories that the tar file does not have.
const impliedMode = 0o755

func impliedDir(path string, below *archive.Entry) *archive.Entry {
	return &archive.Entry{
		Path: path, Type: archive.Dir, Mode: impliedMode, Owner: below.Owner,
		ModTime: below.ModTime, ChangeTime: below.ChangeTime,
	}
}

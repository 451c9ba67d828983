package tarball

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"cairn/objects/archive"
)

// members are the entries of a tar file by their path in the archive. The zero
// members is empty.
type members struct {
	sorted
	links uint64 // sets of hard links so far
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

// link adds another name of what has the name target just now. Refused says why
// it is left out, if it is; err ends everything.
func (m *members) link(path, target string) (refused, err error) {
	to, err := cleanName(target)
	if err != nil {
		return fmt.Errorf("is left out: it is a hard link to %q, which leads out of the tar file", target), nil
	}
	first, err := m.find(to)
	switch {
	case err != nil:
		return nil, err
	case first == nil:
		return fmt.Errorf("%w: %q", errTarget, target), nil
	case first.Type == archive.Dir:
		return fmt.Errorf("%w: %q", errLinkDir, target), nil
	}
	e := *first
	if !first.HasLink {
		m.links++
		first.HasLink = true
		binary.BigEndian.PutUint64(first.Link[8:], m.links)
		if err := m.put(first); err != nil {
			return nil, err
		}
	}
	e.Path, e.HasLink, e.Link = path, true, first.Link
	return nil, m.put(&e)
}

// tree hands the entries to add in the order of archives, each behind the
// directories above it. Directories that the tar file does not have are made up,
// with the owner and the time of what is the first below. Nothing can be below
// what is not a directory: warn is told, and it is left out.
func (m *members) tree(add func(*archive.Entry) error, warn func(path string, err error)) error {
	var open []string       // the directories above the entry before, and itself if it is one
	var leaf *archive.Entry // the last one that is no directory: what is below it follows at once
	for e, err := range m.all() {
		if err != nil {
			return err
		}
		if leaf != nil && below(e.Path, leaf.Path) {
			warn(e.Path, fmt.Errorf("is left out: it is below %q, which is a %s", leaf.Path, leaf.Type))
			continue
		}
		for len(open) > 0 && !below(e.Path, open[len(open)-1]) {
			open = open[:len(open)-1]
		}
		missing := missing(e.Path, len(open))
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
			open = append(open, e.Path)
		} else {
			leaf = e
		}
	}
	return nil
}

// missing returns the directories above path, but the first n.
func missing(path string, n int) (dirs []string) {
	for i := range len(path) {
		switch {
		case path[i] != '/':
		case n > 0:
			n--
		default:
			dirs = append(dirs, path[:i])
		}
	}
	return dirs
}

// impliedMode is that of directories that the tar file does not have.
const impliedMode = 0o755

func impliedDir(path string, below *archive.Entry) *archive.Entry {
	return &archive.Entry{
		Path: path, Type: archive.Dir, Mode: impliedMode, Owner: below.Owner,
		ModTime: below.ModTime, ChangeTime: below.ChangeTime,
	}
}

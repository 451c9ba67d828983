package main

import (
	"context"
	"strings"

	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/pattern"
	"cairn/pipeline/repository"
	"cairn/pipeline/restore"
)

// picking says what of an archive is meant.
type picking struct {
	Include     []string `short:"i" placeholder:"PATTERN" sep:"none" help:"Only what matches, and what is below it: *.jpg, /home/*/mail/."`
	IncludeFrom []string `placeholder:"FILE" sep:"none" help:"Only what matches a pattern of this file, one a line."`
	Exclude     []string `short:"e" placeholder:"PATTERN" sep:"none" help:"Not what matches, nor what is below it."`
	ExcludeFrom []string `placeholder:"FILE" sep:"none" help:"Not what matches a pattern of this file, one a line."`
}

// picked is what is meant of an archive.
type picked struct {
	paths            []string // in the archive; none: all of it
	include, exclude *pattern.List
}

// pick makes sure that the archive has the paths that were typed, and reads the
// patterns.
func (p *picking) pick(ctx context.Context, v *session, a *repository.Archive, typed []string) (*picked, error) {
	include, err := readPatterns("--include", p.Include, "--include-from", p.IncludeFrom)
	if err != nil {
		return nil, err
	}
	exclude, err := readPatterns("--exclude", p.Exclude, "--exclude-from", p.ExcludeFrom)
	if err != nil {
		return nil, err
	}
	out := &picked{include: include, exclude: exclude}
	reader := archive.NewReader(a.Root(), v.NewMetaReader().Fetch(ctx))
	for _, path := range typed {
		found, err := findPath(reader, a, path)
		if err != nil {
			return nil, err
		}
		if found == "" {
			out.paths = nil // the whole archive
			break
		}
		out.paths = append(out.paths, found)
	}
	return out, nil
}

// choose implements restore.Options.Select.
func (p *picked) choose(path string, is archive.Type) restore.Choice {
	choice := p.byPath(path)
	if choice == restore.Skip || meantAbove(p.exclude, path, is) {
		return restore.Skip
	}
	switch {
	case p.include.Empty() || meantAbove(p.include, path, is):
		return choice
	case is == archive.Dir:
		return restore.Look
	}
	return restore.Skip
}

func (p *picked) byPath(path string) restore.Choice {
	if len(p.paths) == 0 {
		return restore.Take
	}
	choice := restore.Skip
	for _, wanted := range p.paths {
		switch {
		case isBelow(path, wanted):
			return restore.Take
		case isBelow(wanted, path):
			choice = restore.Look
		}
	}
	return choice
}

// meantAbove reports whether a pattern means path or a directory above it.
func meantAbove(list *pattern.List, path string, is archive.Type) bool {
	if list.Empty() {
		return false
	}
	for i := range len(path) {
		if path[i] == '/' && list.Match(path[:i], pattern.Directory) {
			return true
		}
	}
	kind := pattern.Other
	if is == archive.Dir {
		kind = pattern.Directory
	}
	return list.Match(path, kind)
}

// isBelow reports whether path is dir or below it, which all is of "".
func isBelow(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || dir == "" || rest[0] == '/')
}

// complete reports whether the archive has all that was in a directory: one that
// was backed up, and is not just above one that was.
func complete(roots []record.Root, dir string) bool {
	for _, root := range roots {
		if isBelow(dir, root.Path) {
			return true
		}
	}
	return false
}

// Package selection says what a backup leaves out: by patterns, by files that
// tag or describe the directory they are in, by size, and by flag.
package selection

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"cairn/pipeline/pattern"
	"cairn/pipeline/walk"
)

// Options say what is left out. The zero Options leave out nothing.
//
// Patterns are asked first: they decide about what one of them matches. About
// the rest, files in the tree decide, those furthest down first.
type Options struct {
	Patterns    *pattern.List // of absolute paths; may be nil
	IgnoreFiles []string      // names of files with patterns for the directory they are in
	Tags        []string      // directories with an entry of such a name are kept with nothing but it
	Caches      bool          // likewise directories with a CACHEDIR.TAG that is one
	LargerThan  int64         // files of more bytes; 0: any size will do
	NoDump      bool          // what has the flag "no dump"

	Warn func(path string, err error) // a file of patterns that cannot be read; may be nil
	Told func(path string, why Why)   // of everything that is left out, also by several goroutines; may be nil
}

// Why says what leaves something out; empty: nothing does.
type Why string

// What may leave something out.
const (
	Matched  Why = "pattern"
	Ignored  Why = "ignore file"
	Tagged   Why = "tag"
	TooLarge Why = "size"
	NoDump   Why = "nodump"
)

// New returns the rules that o describes, or nil for none.
func New(o Options) walk.Rules {
	if (o.Patterns == nil || o.Patterns.Empty()) && len(o.IgnoreFiles) == 0 && len(o.Tags) == 0 &&
		!o.Caches && o.LargerThan == 0 && !o.NoDump {
		return nil
	}
	if o.Patterns == nil {
		o.Patterns = new(pattern.List)
	}
	return rules{o: &o}
}

// rules are those of one directory.
type rules struct {
	o      *Options
	ignore *ignoreList // of the directory and those above it; nil: none
	tags   []string    // what tags the directory; nil: nothing does
	shut   bool        // the directory is itself a tag: nothing in it is kept
}

// ignoreList is what a file of patterns says about what is below its directory.
type ignoreList struct {
	list  pattern.List
	cut   int // paths, cut here, begin below its directory
	above *ignoreList
}

// Exclude implements walk.Rules.
func (r rules) Exclude(_, source string, kind walk.Type) bool {
	return r.tell(source, r.excludes(source, kind))
}

// tell tells of what is left out, and reports whether it is.
func (r rules) tell(source string, why Why) bool {
	if why != "" && r.o.Told != nil {
		r.o.Told(source, why)
	}
	return why != ""
}

func (r rules) excludes(source string, kind walk.Type) Why {
	if r.shut || r.tags != nil && !slices.Contains(r.tags, source[strings.LastIndexByte(source, '/')+1:]) {
		return Tagged
	}
	is := pattern.Other
	if kind == walk.Directory {
		is = pattern.Directory
	}
	why, verdict := Matched, r.o.Patterns.Decide(source, is)
	for i := r.ignore; i != nil && verdict == pattern.Silent; i = i.above {
		why, verdict = Ignored, i.list.Decide(source[i.cut:], is)
	}
	if verdict != pattern.Meant {
		return ""
	}
	return why
}

// Omit implements walk.Rules.
func (r rules) Omit(source string, stat *walk.Stat) bool {
	switch {
	case r.o.NoDump && stat.NoDump():
		return r.tell(source, NoDump)
	case r.o.LargerThan > 0 && stat.Type == walk.File && stat.Size > r.o.LargerThan:
		return r.tell(source, TooLarge)
	}
	return false
}

// Enter implements walk.Rules.
func (r rules) Enter(d *walk.Listing) walk.Rules {
	if r.tags != nil {
		return rules{o: r.o, shut: true}
	}
	for _, name := range r.o.Tags {
		if d.Has(name) {
			r.tags = append(r.tags, name)
		}
	}
	if r.o.Caches && isCache(d) {
		r.tags = append(r.tags, cacheTag)
	}
	for _, name := range r.o.IgnoreFiles {
		if d.Has(name) {
			r.ignore = r.readIgnore(d, name)
		}
	}
	return r
}

// ignoreMax is how long a file of patterns may be, bytes.
const ignoreMax = 1 << 20

func (r rules) readIgnore(d *walk.Listing, name string) *ignoreList {
	content, err := d.Read(name, ignoreMax)
	if errors.Is(err, walk.ErrReplaced) {
		return r.ignore // a directory of that name, perhaps
	}
	list := &ignoreList{cut: len(d.Source) + 1, above: r.ignore}
	if d.Source == "/" {
		list.cut = 1
	}
	if err == nil {
		err = list.list.ReadInside(bytes.NewReader(content))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && r.o.Warn != nil {
		r.o.Warn(d.Source+"/"+name, err)
	}
	return list
}

const (
	cacheTag       = "CACHEDIR.TAG"
	cacheSignature = "Signature: 8a477f597d28d172789f06886806bc55" // bford.info/cachedir
)

// isCache reports whether d is tagged as a cache by a file that says so.
func isCache(d *walk.Listing) bool {
	if !d.Has(cacheTag) {
		return false
	}
	head, err := d.ReadHead(cacheTag, len(cacheSignature))
	return err == nil && string(head) == cacheSignature
}

package main

import (
	"strings"

	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/pipeline/fileattr"
	"cairn/pipeline/restore"
)

// keeping says what a backup keeps of files beyond what it always does.
type keeping struct {
	Atime  bool `help:"Keep when files were last read. (Cairn's own reading does not count.)"`
	Btime  bool `help:"Keep when files were made."`
	Labels bool `help:"Keep what the system itself writes to files: security.selinux, com.apple.provenance."`
}

func (k keeping) labels() fileattr.Labels {
	if k.Labels {
		return fileattr.KeepLabels
	}
	return fileattr.LeaveLabels
}

// shown is an attribute of an entry, for people.
type shown struct{ name, text string }

// shownAttributes returns the attributes of e as text, each under its name in
// JSON.
func shownAttributes(e *archive.Entry) []shown {
	var list []shown
	for i := range e.Attrs {
		tag := attr.Tag(e.Attrs[i].Tag)
		text, err := attr.Text(tag, e.Attrs[i].Value)
		if err != nil {
			text = err.Error()
		}
		list = append(list, shown{tag.String(), text})
	}
	if names := xattrNames(e); len(names) > 0 {
		list = append(list, shown{"xattrs", strings.Join(names, ",")})
	}
	return list
}

func xattrNames(e *archive.Entry) []string {
	var names []string
	for i := range e.Xattrs {
		names = append(names, e.Xattrs[i].Name)
	}
	return names
}

// hasACL reports whether e has more permissions than its mode says.
func hasACL(e *archive.Entry) bool {
	for i := range e.Attrs {
		if tag := attr.Tag(e.Attrs[i].Tag); tag.Known() && tag != attr.FileFlags {
			return true
		}
	}
	for i := range e.Xattrs {
		if e.Xattrs[i].Name == attr.LinuxAccessACL || e.Xattrs[i].Name == attr.LinuxDefaultACL {
			return true
		}
	}
	return false
}

// tellLacks says what a restore could not give to the files, one line for each
// reason, and returns how many of them are worth an exit code.
func (g *globals) tellLacks(lacks []restore.Lack) (warnings uint64) {
	for i := range lacks {
		l := &lacks[i]
		if l.Part == restore.Owners && l.Why == restore.Forbidden {
			g.term.warn("%s now yours: only root can give files to others", count(l.Count, "entry"))
			continue
		}
		warnings++
		example := name(l.Path)
		if l.Detail != "" {
			example = name(l.Detail) + " of " + example
		}
		g.term.warn("warning: %s not restored, such as %s: %s", count(l.Count, lackPart(l.Part)), example, lackWhy(l))
	}
	return warnings
}

func lackPart(p restore.Part) string {
	switch p {
	case restore.Owners:
		return "owner"
	case restore.Xattrs:
		return "extended attribute"
	case restore.ACLs:
		return "ACL"
	case restore.Flags:
		return "file flag"
	case restore.Nodes:
		return "special file"
	}
	return "attribute"
}

func lackWhy(l *restore.Lack) string {
	switch {
	case l.Why == restore.Unknown:
		return "a later version of cairn knows what it is"
	case l.Why == restore.Unsupported:
		return "this system, or the file system of the target, does not have it"
	case l.Part == restore.Nodes:
		return "only root can make it"
	}
	return "it takes root, or more than root has here"
}

package main

import (
	"strconv"
	"time"
	"unicode/utf8"

	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/repository"
)

// What --json prints. Fields are only ever added: the README documents them.

// text is a name in JSON: as it is if it is UTF-8, and otherwise quoted as a
// Go string with a field beside it that says so, because JSON cannot carry
// other bytes.
func text(s string) (value string, quoted bool) {
	if utf8.ValidString(s) {
		return s, false
	}
	return strconv.Quote(s), true
}

type archiveJSON struct {
	ID         string    `json:"id,omitempty"`
	Name       string    `json:"name"`
	Host       string    `json:"host"`
	User       string    `json:"user"`
	Series     string    `json:"series"`
	Comment    string    `json:"comment,omitempty"`
	Tags       []string  `json:"tags,omitempty"`
	Roots      []string  `json:"roots"`
	Start      time.Time `json:"start"`
	End        time.Time `json:"end"`
	Files      uint64    `json:"files"`
	Dirs       uint64    `json:"directories"`
	Entries    uint64    `json:"entries"`
	Size       uint64    `json:"size"`
	NewData    uint64    `json:"new_data"`
	NewStored  uint64    `json:"new_stored"`
	Warnings   uint64    `json:"warnings"`
	Checkpoint bool      `json:"checkpoint,omitempty"`
}

func toJSON(a *record.Archive) archiveJSON {
	j := archiveJSON{
		Name: a.Name, Host: a.Host, User: a.User, Series: a.Series, Comment: a.Comment, Tags: a.Tags,
		Start: a.Start, End: a.End, Files: a.Files, Dirs: a.Dirs, Entries: a.Entries, Size: a.Size,
		NewData: a.NewData, NewStored: a.NewStored, Warnings: a.Warnings, Checkpoint: a.Kind == record.Checkpoint,
	}
	for _, root := range a.Roots {
		source, _ := text(root.Source)
		j.Roots = append(j.Roots, source)
	}
	return j
}

func toJSONWithID(a *repository.Archive) archiveJSON {
	j := toJSON(&a.Archive)
	j.ID = a.ID.String()
	return j
}

type backupJSON struct {
	Archive   *archiveJSON `json:"archive,omitempty"` // absent in a dry run
	DryRun    bool         `json:"dry_run,omitempty"`
	Skipped   bool         `json:"skipped,omitempty"` // nothing has changed: archive is the one before
	New       uint64       `json:"files_new"`
	Changed   uint64       `json:"files_changed"`
	Unchanged uint64       `json:"files_unchanged"`
	Bytes     uint64       `json:"bytes"`
	Read      uint64       `json:"bytes_read"`
	NewChunks uint64       `json:"new_chunks"`
	NewBytes  uint64       `json:"new_bytes"`
	Stored    uint64       `json:"stored_bytes"`
	Packs     uint64       `json:"packs"`
	Warnings  uint64       `json:"warnings"`
	Seconds   float64      `json:"seconds"`
	Waited    float64      `json:"seconds_waited"` // for others who were writing
	Held      float64      `json:"seconds_locked"` // holding the lock
}

func backupResult(a record.Archive, s backup.Summary, dryRun bool, v *session) backupJSON {
	j := backupJSON{
		DryRun: dryRun, Skipped: s.Skipped, New: s.New, Changed: s.Changed, Unchanged: s.Unchanged, Bytes: s.Bytes, Read: s.Read,
		NewChunks: s.NewChunks, NewBytes: s.NewBytes, Stored: s.Stored, Packs: s.Packs,
		Warnings: s.Warnings, Seconds: s.Took.Seconds(), Waited: s.Waited.Seconds(), Held: s.Held.Seconds(),
	}
	if !dryRun {
		full := toJSON(&a)
		full.ID = a.ID(v.Keys.NewHasher()).String()
		j.Archive = &full
	}
	return j
}

// statusJSON is one line of a list of what was done.
type statusJSON struct {
	Status     string `json:"status"`
	Path       string `json:"path"`
	PathQuoted bool   `json:"path_quoted,omitempty"`
	Why        string `json:"why,omitempty"`
}

type entryJSON struct {
	Path       string    `json:"path"`
	PathQuoted bool      `json:"path_quoted,omitempty"` // path is a quoted Go string: its bytes are no UTF-8
	Type       string    `json:"type"`
	Mode       string    `json:"mode"`
	UID        uint32    `json:"uid"`
	GID        uint32    `json:"gid"`
	User       string    `json:"user,omitempty"`
	Group      string    `json:"group,omitempty"`
	Size       uint64    `json:"size,omitempty"`
	ModTime    time.Time `json:"mtime"`
	Target     string    `json:"target,omitempty"`

	AccessTime *time.Time `json:"atime,omitempty"`
	BirthTime  *time.Time `json:"btime,omitempty"`
	ACL        string     `json:"acl,omitempty"`
	DefaultACL string     `json:"default_acl,omitempty"`
	NFS4ACL    string     `json:"nfs4_acl,omitempty"`
	MacACL     string     `json:"macos_acl,omitempty"`
	Flags      string     `json:"flags,omitempty"`
	Xattrs     []string   `json:"xattrs,omitempty"`
}

func entryToJSON(e *archive.Entry) entryJSON {
	j := entryJSON{
		Type: e.Type.String(), Mode: strconv.FormatUint(uint64(e.Mode), 8),
		UID: e.Owner.UID, GID: e.Owner.GID, User: e.Owner.User, Group: e.Owner.Group,
		Size: e.Size, ModTime: e.ModTime.Time(),
	}
	j.Path, j.PathQuoted = text(e.Path)
	j.Target, _ = text(e.Target)
	if e.HasAccessTime {
		at := e.AccessTime.Time()
		j.AccessTime = &at
	}
	if e.HasBirthTime {
		at := e.BirthTime.Time()
		j.BirthTime = &at
	}
	for _, name := range xattrNames(e) {
		name, _ := text(name)
		j.Xattrs = append(j.Xattrs, name)
	}
	j.attributes(e)
	return j
}

// attributes fills in ACLs and flags. Those of a later version are left out.
func (j *entryJSON) attributes(e *archive.Entry) {
	for _, a := range shownAttributes(e) {
		text, _ := text(a.text)
		switch a.name {
		case attr.AccessACL.String():
			j.ACL = text
		case attr.DefaultACL.String():
			j.DefaultACL = text
		case attr.NFS4.String():
			j.NFS4ACL = text
		case attr.Mac.String():
			j.MacACL = text
		case attr.FileFlags.String():
			j.Flags = text
		}
	}
}

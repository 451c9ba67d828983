package restore

import (
	"os"
	"os/user"
	"strconv"
	"sync"

	"cairn/objects/archive"
	"cairn/objects/attr"
)

// namesKept bounds the names that owners remembers of each kind.
const namesKept = 4096

// owners turns the owners of an archive into those of this host: by name where
// the name exists here, else by number. Only root can give files away; for
// everyone else numbers are as good. Safe for concurrent use.
type owners struct {
	root     bool
	uid, gid uint32 // ours
	numeric  bool

	mu            sync.Mutex
	users, groups map[string]found // guarded by mu
}

type found struct {
	id uint32
	ok bool
}

func newOwners(numeric bool) *owners {
	uid := os.Geteuid()
	return &owners{
		root: uid == 0, uid: uint32(uid), gid: uint32(os.Getegid()), numeric: numeric,
		users: make(map[string]found), groups: make(map[string]found),
	}
}

// foreign returns the mode bits that a file must not have that is not given to
// its owner: it is ours then.
func (o *owners) foreign(a *attributes) (drop uint16) {
	if a.uid != o.uid {
		drop |= setuid
	}
	if a.gid != o.gid {
		drop |= setgid
	}
	return drop
}

// complete makes the numbers of an ACL those of this host, as resolve does, and
// takes the names away.
func (o *owners) complete(acl attr.ACL) {
	o.mu.Lock()
	defer o.mu.Unlock()
	number := func(known map[string]found, lookup func(string) (string, error)) func(*attr.Who) {
		return func(w *attr.Who) {
			if !o.numeric {
				if f := cached(known, w.Name, lookup); f.ok {
					w.ID = f.id
				}
			}
			w.Name = ""
		}
	}
	acl.Named(number(o.users, lookupUser), number(o.groups, lookupGroup))
}

func (o *owners) resolve(a *archive.Owner) (uid, gid uint32) {
	uid, gid = a.UID, a.GID
	if !o.root || o.numeric {
		return uid, gid
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := cached(o.users, a.User, lookupUser); f.ok {
		uid = f.id
	}
	if f := cached(o.groups, a.Group, lookupGroup); f.ok {
		gid = f.id
	}
	return uid, gid
}

// cached asks each name once: directory services are slow.
func cached(known map[string]found, name string, lookup func(string) (string, error)) found {
	if name == "" {
		return found{}
	}
	if f, ok := known[name]; ok {
		return f
	}
	var f found
	if id, err := lookup(name); err == nil { // an unknown name is no error: the number stands
		n, err := strconv.ParseUint(id, 10, 32)
		f = found{uint32(n), err == nil}
	}
	if len(known) >= namesKept {
		clear(known)
	}
	known[name] = f
	return f
}

func lookupUser(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func lookupGroup(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

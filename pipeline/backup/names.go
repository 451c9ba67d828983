package backup

import (
	"os/user"
	"strconv"
	"sync"

	"cairn/objects/archive"
	"cairn/objects/attr"
)

// names finds the names of users and groups, asking the system once for each:
// a directory service may be slow. It is safe for concurrent use.
type names struct {
	mu            sync.Mutex
	users, groups map[uint32]string // guarded by mu
}

func newNames() *names {
	return &names{users: map[uint32]string{}, groups: map[uint32]string{}}
}

func (n *names) owner(uid, gid uint32) archive.Owner {
	n.mu.Lock()
	defer n.mu.Unlock()
	return archive.Owner{UID: uid, GID: gid, User: n.user(uid), Group: n.group(gid)}
}

// complete gives names to everybody whom an ACL names.
func (n *names) complete(acl attr.ACL) {
	n.mu.Lock()
	defer n.mu.Unlock()
	acl.Named(func(w *attr.Who) { w.Name = n.user(w.ID) }, func(w *attr.Who) { w.Name = n.group(w.ID) })
}

// user is called with n.mu held.
func (n *names) user(uid uint32) string {
	name, ok := n.users[uid]
	if !ok {
		if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
			name = u.Username
		}
		n.users[uid] = name // a number without a name is no error
	}
	return name
}

// group is called with n.mu held.
func (n *names) group(gid uint32) string {
	name, ok := n.groups[gid]
	if !ok {
		if g, err := user.LookupGroupId(strconv.FormatUint(uint64(gid), 10)); err == nil {
			name = g.Name
		}
		n.groups[gid] = name
	}
	return name
}

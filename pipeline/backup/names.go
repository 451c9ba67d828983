package backup

import (
	"os/user"
	"strconv"

	"cairn/objects/archive"
)

// names finds the names of users and groups, asking the system once for each:
// a directory service may be slow. It is one goroutine's.
type names struct {
	users, groups map[uint32]string
}

func newNames() *names {
	return &names{users: map[uint32]string{}, groups: map[uint32]string{}}
}

func (n *names) owner(uid, gid uint32) archive.Owner {
	return archive.Owner{UID: uid, GID: gid, User: n.user(uid), Group: n.group(gid)}
}

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

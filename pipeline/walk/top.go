package walk

import (
	"golang.org/x/sys/unix"
)

// top returns the block that the walk begins with: the roots and the
// directories above them.
func top(roots []Root, c *descriptors) *block {
	n := &node{}
	b := &block{node: n}
	before := "" // path of the last root whose directories above are in b
	for _, root := range roots {
		item := Item{Path: root.Path, Source: root.Source, dir: c.base}
		links := unix.AT_SYMLINK_NOFOLLOW
		if root.Path == "" {
			links = 0
		}
		var above []Item
		err := statAt(unix.AT_FDCWD, root.Source, links, &item.Stat)
		if err == nil {
			above, err = implied(root, before, c)
		}
		if err != nil {
			item.fail("lstat", err)
			b.items = append(b.items, item)
			continue
		}
		before = root.Path
		b.items = append(b.items, above...)
		b.addRoot(root, item)
	}
	return b
}

// implied returns items for the directories above root's archive path, except
// those above the path before too: the two are neighbours in archive order.
// They are what the kernel passes through: links are followed.
func implied(root Root, before string, c *descriptors) ([]Item, error) {
	var items []Item
	cut := len(root.Source) - len(root.Path)
	for i := range len(root.Path) {
		if root.Path[i] != '/' || (before != "" && within(before, root.Path[:i])) {
			continue
		}
		item := Item{Path: root.Path[:i], Source: root.Source[:cut+i], Implied: true, dir: c.base}
		if err := statAt(unix.AT_FDCWD, item.Source, 0, &item.Stat); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func (b *block) addRoot(root Root, item Item) {
	if item.Stat.Type == Directory {
		d := item.dir.owner.child(item.dir, root.Source)
		d.follow = root.Path == ""
		cut := len(root.Source) - len(root.Path)
		if root.Path == "" {
			cut = d.cut
		}
		b.subs = append(b.subs, sub{len(b.items), newNode(d, cut, root.Path)})
	} else if root.Path == "" {
		item.fail("list", unix.ENOTDIR)
	}
	b.items = append(b.items, item)
}

package walk

import "golang.org/x/sys/unix"

// top returns the block that the walk begins with: the roots and the
// directories above them.
func top(roots []Root, c *descriptors, skip map[FileID]bool, rules Rules) *block {
	n := &node{rules: rules}
	b := &block{node: n}
	before := "" // up to where the directories above roots are in b
	for _, root := range roots {
		above, err := implied(root, before, c)
		if len(above) > 0 {
			b.items = append(b.items, above...)
			before = above[len(above)-1].Path
		}
		b.addRoot(root, err, c.base, skip)
	}
	return b
}

// implied returns items for the directories above root's archive path, except
// those at or above the path before, which precedes it in archive order. They
// are what the kernel passes through: links are followed. Beside an error stand
// the items above what failed.
func implied(root Root, before string, c *descriptors) ([]Item, error) {
	var items []Item
	cut := len(root.Source) - len(root.Path)
	for i := range len(root.Path) {
		if root.Path[i] != '/' || (before != "" && within(before, root.Path[:i])) {
			continue
		}
		item := Item{Path: root.Path[:i], Source: root.Source[:cut+i], Implied: true, dir: c.base}
		if err := statAt(unix.AT_FDCWD, item.Source, 0, &item.Stat); err != nil {
			return items, err
		}
		items = append(items, item)
	}
	return items, nil
}

// addRoot appends root, or that it cannot be reached because of err.
func (b *block) addRoot(root Root, err error, base *dir, skip map[FileID]bool) {
	item := Item{Path: root.Path, Source: root.Source, dir: base}
	links := unix.AT_SYMLINK_NOFOLLOW
	if root.Path == "" {
		links = 0
	}
	if err == nil {
		err = statAt(unix.AT_FDCWD, root.Source, links, &item.Stat)
	}
	switch {
	case err != nil:
		item.fail("lstat", err)
	case item.Stat.Type == Directory:
		b.subs = append(b.subs, sub{len(b.items), rootNode(root, base, b.node.rules)})
	case skip[item.Stat.ID]:
		item.Stat, item.Err = Stat{ID: item.Stat.ID}, ErrSkipped
	case root.Path == "":
		item.fail("list", unix.ENOTDIR)
	}
	b.items = append(b.items, item)
}

func rootNode(root Root, base *dir, rules Rules) *node {
	d := base.owner.child(base, root.Source)
	n := newNode(d, len(root.Source)-len(root.Path), root.Path)
	if root.Path == "" {
		d.follow = true
		n = newNode(d, d.cut, "")
	}
	n.rules = rules
	return n
}

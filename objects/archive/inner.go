package archive

import "cairn/objects"

// inner is an inner node that was checked as far as it can be alone.
type inner struct {
	items   items // before the first
	level   uint8
	size    int    // bytes
	first   string // path of the first item
	entries uint64
	sum     uint64 // of the sizes
}

// parseInner checks everything about a node of a level but what is below it.
func parseInner(plain []byte, level uint8) (*inner, error) {
	d, count, err := openNode(plain, level, itemMin)
	if err != nil {
		return nil, err
	}
	if count == 0 {
		return nil, errEmpty
	}
	if count > itemsMax {
		return nil, errTooMany
	}
	n := &inner{items: items{d: d, left: count}, level: level, size: len(plain)}
	all := n.items
	for i := range count {
		it, path, err := all.next()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			n.first = string(path)
		}
		n.entries += it.entries
		n.sum += it.size
		if it.entries == 0 || n.entries < it.entries || n.sum < it.size {
			return nil, errOverflow
		}
	}
	return n, all.d.Finish()
}

// find returns a reader whose next item is the last one that is not above path,
// or the first one if all are.
func (n *inner) find(path string) items {
	found := 0
	if path != "" {
		all := n.items
		for i := range n.items.left {
			if _, p, _ := all.next(); comparePaths(p, path) > 0 { // parseInner saw no error
				break
			}
			found = i
		}
	}
	return n.skip(found)
}

// findRank returns a reader whose next item is the one that has the entry of a
// rank, counted from the node's first entry, or the last one if none has.
func (n *inner) findRank(rank uint64) items {
	all := n.items
	for i := range n.items.left {
		if _, _, _ = all.next(); all.rank > rank { // parseInner saw no error
			return n.skip(i)
		}
	}
	return n.skip(n.items.left - 1)
}

// skip returns a reader of the items behind the first few.
func (n *inner) skip(few int) items {
	at := n.items
	for range few {
		_, _, _ = at.next()
	}
	return at
}

// cache keeps the inner nodes that were read last, cacheMax bytes of them. The
// zero cache is empty.
type cache struct {
	nodes map[objects.ID]*inner
	order []objects.ID // by the time of coming, oldest first
	size  int
}

const cacheMax = 4 << 20

func (c *cache) get(id objects.ID) *inner { return c.nodes[id] }

// add keeps n, unless it is too large to keep any other beside it.
func (c *cache) add(id objects.ID, n *inner) {
	if n.size > cacheMax/4 || c.nodes[id] != nil {
		return
	}
	for c.size+n.size > cacheMax {
		c.size -= c.nodes[c.order[0]].size
		delete(c.nodes, c.order[0])
		c.order = c.order[1:]
	}
	if c.nodes == nil {
		c.nodes = make(map[objects.ID]*inner)
	}
	c.nodes[id] = n
	c.order = append(c.order, id)
	c.size += n.size
}

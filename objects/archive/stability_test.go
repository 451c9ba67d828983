package archive

import (
	"math/rand/v2"
	"slices"
	"testing"

	"cairn/objects"
	"cairn/objects/wire"
)

// nodesOf counts the nodes of each level in s that are not in old, and sums
// their lengths.
func nodesOf(s, old *store) (count, size []int) {
	count, size = make([]int, levelMax+1), make([]int, levelMax+1)
	for id, p := range s.chunks {
		if old == nil || old.chunks[id] == nil {
			level := wire.NewDecoder(p).Uvarint()
			count[level]++
			size[level] += len(p)
		}
	}
	return count, size
}

func TestNodeSizes(t *testing.T) {
	t.Parallel()
	entries := usr(150_000)
	s := newStore()
	root := write(t, entries, s.put)
	count, size := nodesOf(s, nil)
	mean := size[0] / count[0]
	largest := 0
	for _, p := range s.chunks {
		largest = max(largest, len(p))
	}
	var lens []int
	for _, p := range s.chunks {
		lens = append(lens, len(p))
	}
	slices.Sort(lens)
	t.Logf("%d leaves, mean %d bytes, median %d, 99 %% below %d, largest %d", count[0], mean,
		lens[len(lens)/2], lens[len(lens)*99/100], largest)
	for level := 1; level <= int(root.Level); level++ {
		t.Logf("level %d: %d nodes, fan-out %d, mean %d bytes", level, count[level], count[level-1]/count[level], size[level]/count[level])
	}
	if mean < 28<<10 || mean > 36<<10 {
		t.Errorf("mean leaf: got %d bytes, want about 32 KiB", mean)
	}
	if largest > leafMax+1<<10 {
		t.Errorf("largest leaf: got %d bytes, want at most 256 KiB and an entry", largest)
	}
}

// TestInnerFanOut builds the inner levels alone, from a million leaves.
func TestInnerFanOut(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 1))
	nodes, items := 0, 0
	w := NewWriter(testSeed, func(p []byte) (objects.ID, error) {
		d := wire.NewDecoder(p)
		if d.Uvarint() == 1 {
			nodes++
			items += int(d.Uvarint())
		}
		return randomID(rnd), nil
	})
	for _, e := range usr(150_000) {
		if err := w.add(0, item{path: e.Path, entries: 1}); err != nil {
			t.Fatal(err)
		}
	}
	mean := float64(items) / float64(nodes)
	t.Logf("%d nodes of level 1, mean %.0f items", nodes, mean)
	if mean < 220 || mean > 290 {
		t.Errorf("mean fan-out: got %.0f, want about 251", mean)
	}
}

func TestOneChangeCostsOnePath(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(9, 9))
	entries := usr(100_000)
	s := newStore()
	root := write(t, entries, s.put)
	edit := func(name string, change func(list []*Entry, i int) []*Entry) {
		const rounds = 5
		var leaves, above int
		for range rounds {
			i := 2 + rnd.IntN(len(entries)-2)
			for entries[i].Type != File {
				i--
			}
			fresh := newStore()
			write(t, change(slices.Clone(entries), i), fresh.put)
			count, _ := nodesOf(fresh, s)
			leaves += count[0]
			for _, n := range count[1:] {
				above += n
			}
		}
		t.Logf("%s: %.2f new leaves, %.2f new inner nodes; root at level %d", name, float64(leaves)/rounds, float64(above)/rounds, root.Level)
		if float64(leaves) > 1.2*rounds || float64(above) > 1.2*rounds*float64(root.Level) {
			t.Errorf("%s: got %d new leaves and %d inner nodes in %d rounds, want one a level", name, leaves, above, rounds)
		}
	}
	edit("change", func(list []*Entry, i int) []*Entry {
		e := list[i].Clone()
		e.Content.Extents[0].ID = randomID(rnd)
		e.ModTime.Sec++
		list[i] = e
		return list
	})
	edit("insert", func(list []*Entry, i int) []*Entry {
		e := list[i].Clone()
		e.Path += ".new"
		return slices.Insert(list, i+1, e)
	})
	edit("delete", func(list []*Entry, i int) []*Entry { return slices.Delete(list, i, i+1) })
}

package locking

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"cairn/objects"
	"cairn/objects/record"
)

func participant(n byte) record.Participant {
	return record.Participant{ID: record.ParticipantID{n}, Mode: record.Append, Beat: 5, TTL: time.Minute}
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	a, b := participant(1), participant(2)
	older := b
	older.Beat--
	from := Mark{Generation: 7, Commit: objects.ID{7}}
	to := Mark{Generation: 8, Commit: objects.ID{8}}
	head := func(change func(h *record.Head), holders ...record.Participant) record.Head {
		h := record.Head{Generation: 7, Commit: objects.ID{7}, Orphans: 3, Holders: holders}
		if change != nil {
			change(&h)
		}
		return h
	}
	moved := func(h *record.Head) { h.Generation, h.Commit = 8, objects.ID{9} }
	orphan := func(h *record.Head) { h.Orphans = 4 }
	committed := func(h *record.Head) { h.Generation, h.Commit = 8, objects.ID{8} }
	beaten := b
	beaten.Beat = 6

	for _, c := range []struct {
		name string
		t    transition
		h    record.Head
		want record.Head
		err  error
	}{
		{"take: free", take(b), head(nil), head(nil, b), nil},
		{"take: held", take(b), head(nil, a), head(nil, a), errBlocked},
		{"beat", beat(b.ID, 6), head(nil, b), head(nil, beaten), nil},
		{"beat: evicted", beat(b.ID, 6), head(nil, a), head(nil, a), ErrLeaseLost},
		{"leave", leave(b.ID, 0), head(nil, b), head(nil), nil},
		{"leave: with packs", leave(b.ID, 1), head(nil, b), head(orphan), nil},
		{"leave: evicted", leave(b.ID, 1), head(nil, a), head(nil, a), nil},
		{"evict", evict(b), head(nil, b), head(orphan), nil},
		{"evict: has beaten since", evict(older), head(nil, b), head(nil, b), nil},
		{"evict: gone", evict(b), head(nil, a), head(nil, a), nil},
		{"commit and release", advance{holder: b.ID, from: from, to: to}.apply, head(nil, b), head(committed), nil},
		{"commit and keep", advance{holder: b.ID, from: from, to: to, after: Keep}.apply, head(nil, b), head(committed, b), nil},
		{"commit: moved", advance{holder: b.ID, from: from, to: to}.apply, head(moved, b), head(moved, b), errMoved},
		{"commit: evicted", advance{holder: b.ID, from: from, to: to}.apply, head(nil, a), head(nil, a), ErrLeaseLost},
		{"commit: evicted, nobody holds", advance{holder: b.ID, from: from, to: to}.apply, head(nil), head(nil), ErrLeaseLost},
		{"commit: without a lease", advance{from: from, to: to}.apply, head(nil), head(committed), nil},
		{"commit: without a lease, held", advance{from: from, to: to}.apply, head(nil, a), head(nil, a), errBlocked},
		{
			"commit: what head says of it",
			advance{from: from, to: to, adopted: 2, contents: contents{snapshot: true, condemns: true}}.apply, head(nil),
			head(func(h *record.Head) {
				committed(h)
				h.SnapshotGeneration, h.Snapshot = 8, objects.ID{8}
				h.GC, h.Unswept, h.Orphans = 1, 1, 1
			}), nil,
		},
	} {
		before := c.h
		before.Holders = append([]record.Participant(nil), c.h.Holders...)
		got, changed, err := c.t(c.h)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.err)
		}
		if !sameHead(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		if changed != !sameHead(got, c.h) {
			t.Errorf("%s: got changed %t", c.name, changed)
		}
		if !sameHead(before, c.h) {
			t.Errorf("%s: it changed the head that it was given", c.name)
		}
		if again, changed, err := c.t(got); c.err == nil && (changed || err != nil) {
			t.Errorf("%s: applied again got %+v, %v, want no change", c.name, again, err)
		}
	}
}

func sameHead(a, b record.Head) bool {
	if len(a.Holders) == 0 && len(b.Holders) == 0 {
		a.Holders, b.Holders = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func TestJudge(t *testing.T) {
	t.Parallel()
	p := participant(1) // ttl 1 min: 90 s
	start := time.Now()
	load := func(beat uint64, asked, answered int) sighting {
		q := p
		q.Beat = beat
		at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
		return sighting{head: record.Head{Holders: []record.Participant{q}}, asked: at(asked), answered: at(answered)}
	}
	for _, c := range []struct {
		name  string
		loads []sighting
		want  bool
	}{
		{"silent", []sighting{load(5, 0, 1), load(5, 50, 51), load(5, 91, 92)}, true},
		{"not long enough", []sighting{load(5, 0, 1), load(5, 50, 51), load(5, 90, 200)}, false},
		{"first load was slow", []sighting{load(5, 0, 30), load(5, 50, 51), load(5, 91, 92)}, false},
		{"too few loads", []sighting{load(5, 0, 1), load(5, 200, 201)}, false},
		{"it has beaten", []sighting{load(5, 0, 1), load(5, 50, 51), load(6, 91, 92)}, false},
		{"it had beaten", []sighting{load(4, 0, 1), load(5, 50, 51), load(5, 91, 92), load(5, 140, 141)}, false},
		{"it was gone between", []sighting{load(5, 0, 1), load(5, 50, 51), {}, load(5, 91, 92)}, false},
		{"never seen", nil, false},
	} {
		var j judge
		last := p
		for _, s := range c.loads {
			j.see(s)
			for _, q := range s.head.Holders {
				last = q
			}
		}
		if got := j.dead(last); got != c.want {
			t.Errorf("%s: got dead %t, want %t", c.name, got, c.want)
		}
	}
	long := participant(2)
	long.TTL = 1 << 62
	if got := takeover(long); got != 90*time.Minute {
		t.Errorf("a ttl of centuries: taken over after %s, want 1h30m", got)
	}
}

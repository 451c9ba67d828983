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
	a, b, x := participant(1), participant(2), participant(3)
	x.Mode = record.Exclusive
	older := b
	older.Beat--
	from := Mark{Generation: 7, Commit: objects.ID{7}}
	to := Mark{Generation: 8, Commit: objects.ID{8}}
	type list = []record.Participant
	head := func(change func(h *record.Head), holders ...record.Participant) record.Head {
		h := record.Head{Generation: 7, Commit: objects.ID{7}, Orphans: 3, Holders: holders}
		if change != nil {
			change(&h)
		}
		return h
	}
	queue := func(p ...record.Participant) func(h *record.Head) {
		return func(h *record.Head) { h.Queue = p }
	}
	moved := func(h *record.Head) { h.Generation, h.Commit = 8, objects.ID{9} }
	orphan := func(h *record.Head) { h.Orphans = 4 }
	committed := func(h *record.Head) { h.Generation, h.Commit = 8, objects.ID{8} }
	both := func(f, g func(h *record.Head)) func(h *record.Head) {
		return func(h *record.Head) { f(h); g(h) }
	}
	beaten, since := b, b
	beaten.Beat = 6
	since.Since = time.Unix(1000, 0)
	gc := func(gc, unswept uint64) func(h *record.Head) {
		return func(h *record.Head) { h.GC, h.Unswept = gc, unswept }
	}

	for _, c := range []struct {
		name string
		t    transition
		h    record.Head
		want record.Head
		err  error
	}{
		{"enter: free", enter(b, InTurn, true), head(nil), head(nil, b), nil},
		{"enter: held", enter(b, InTurn, true), head(nil, a), head(queue(b), a), nil},
		{"enter: held, without a queue", enter(b, InTurn, false), head(nil, a), head(nil, a), errBlocked},
		{"enter: free, but others wait", enter(b, InTurn, true), head(queue(a)), head(queue(a, b)), nil},
		{"enter: shared", enter(b, Parallel, true), head(nil, a), head(nil, a, b), nil},
		{"enter: shared, behind an append ticket", enter(b, Parallel, true), head(queue(a)), head(queue(a), b), nil},
		{"enter: shared, behind an exclusive ticket", enter(b, Parallel, true), head(queue(x), a), head(queue(x, b), a), nil},
		{"enter: exclusive beside append", enter(x, Parallel, true), head(nil, a), head(queue(x), a), nil},
		{"enter: append beside exclusive", enter(b, Parallel, true), head(nil, x), head(queue(b), x), nil},
		{"admit: first", admit(b.ID, InTurn, since.Since), head(queue(b, a)), head(queue(a), since), nil},
		{"admit: second", admit(b.ID, InTurn, since.Since), head(queue(a, b)), head(queue(a, b)), errBlocked},
		{"admit: held", admit(b.ID, InTurn, since.Since), head(queue(b), a), head(queue(b), a), errBlocked},
		{"admit: shared", admit(b.ID, Parallel, since.Since), head(queue(b), a), head(nil, a, since), nil},
		{"admit: evicted", admit(b.ID, InTurn, since.Since), head(queue(a)), head(queue(a)), errNoPlace},
		{"beat", beat(b.ID, 6), head(nil, b), head(nil, beaten), nil},
		{"beat: ticket", beat(b.ID, 6), head(queue(a, b)), head(queue(a, beaten)), nil},
		{"beat: evicted", beat(b.ID, 6), head(nil, a), head(nil, a), errNoPlace},
		{"leave", leave(b.ID, 0), head(nil, b), head(nil), nil},
		{"leave: ticket", leave(b.ID, 0), head(queue(b, a)), head(queue(a)), nil},
		{"leave: with packs", leave(b.ID, 1), head(nil, b), head(orphan), nil},
		{"leave: evicted", leave(b.ID, 1), head(nil, a), head(nil, a), nil},
		{"evict", evict(b), head(nil, b), head(orphan), nil},
		{"evict: ticket", evict(b), head(queue(b, a)), head(both(orphan, queue(a))), nil},
		{"evict: has beaten since", evict(older), head(nil, b), head(nil, b), nil},
		{"evict: gone", evict(b), head(nil, a), head(nil, a), nil},
		{"swept", swept(5, 1), head(gc(5, 4)), head(gc(5, 1)), nil},
		{"swept: more was condemned since", swept(5, 1), head(gc(7, 6)), head(gc(7, 3)), nil},
		{"swept: known already", swept(5, 1), head(gc(7, 3)), head(gc(7, 3)), nil},
		{"swept: head is older", swept(5, 1), head(gc(4, 3)), head(gc(4, 3)), nil},
		{"commit and release", advance{run: b, leased: true, from: from, to: to}.apply, head(nil, b), head(committed), nil},
		{"commit and keep", advance{run: b, leased: true, from: from, to: to, after: Keep}.apply, head(queue(a), b), head(both(committed, queue(a)), b), nil},
		{"commit and yield", advance{run: since, leased: true, from: from, to: to, after: Yield}.apply, head(queue(a), b), head(both(committed, queue(a, since))), nil},
		{"commit and yield: nobody waits", advance{run: since, leased: true, from: from, to: to, after: Yield}.apply, head(nil, b), head(committed, b), nil},
		{"commit and yield: others need not wait", advance{run: since, leased: true, order: Parallel, from: from, to: to, after: Yield}.apply, head(queue(a), b), head(both(committed, queue(a)), b), nil},
		{"commit and yield: to an exclusive run", advance{run: since, leased: true, order: Parallel, from: from, to: to, after: Yield}.apply, head(queue(x), b, a), head(both(committed, queue(x, since)), a), nil},
		{"commit: moved", advance{run: b, leased: true, from: from, to: to}.apply, head(moved, b), head(moved, b), errMoved},
		{"commit: evicted", advance{run: b, leased: true, from: from, to: to}.apply, head(nil, a), head(nil, a), errNoPlace},
		{"commit: evicted, nobody holds", advance{run: b, leased: true, from: from, to: to}.apply, head(nil), head(nil), errNoPlace},
		{"commit: only a ticket", advance{run: b, leased: true, from: from, to: to}.apply, head(queue(b)), head(queue(b)), errNoPlace},
		{"commit: without a lease", advance{run: b, from: from, to: to}.apply, head(nil), head(committed), nil},
		{"commit: without a lease, held", advance{run: b, from: from, to: to}.apply, head(nil, a), head(nil, a), errBlocked},
		{"commit: without a lease, awaited", advance{run: b, from: from, to: to}.apply, head(queue(a)), head(queue(a)), errBlocked},
		{"commit: without a lease, shared", advance{run: b, order: Parallel, from: from, to: to}.apply, head(nil, a), head(committed, a), nil},
		{
			"commit: what head says of it",
			advance{run: b, from: from, to: to, adopted: 2, contents: contents{snapshot: true, condemns: true}}.apply, head(nil),
			head(func(h *record.Head) {
				committed(h)
				h.SnapshotGeneration, h.Snapshot = 8, objects.ID{8}
				h.GC, h.Unswept, h.Orphans = 1, 1, 1
			}), nil,
		},
	} {
		before := c.h
		before.Holders = append(list(nil), c.h.Holders...)
		before.Queue = append(list(nil), c.h.Queue...)
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
	for _, h := range []*record.Head{&a, &b} {
		h.Holders = append([]record.Participant{}, h.Holders...)
		h.Queue = append([]record.Participant{}, h.Queue...)
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
	ticket := func(beat uint64, asked, answered int) sighting {
		s := load(beat, asked, answered)
		s.head.Holders, s.head.Queue = nil, s.head.Holders
		return s
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
		{"a silent ticket", []sighting{ticket(5, 0, 1), ticket(5, 50, 51), ticket(5, 91, 92)}, true},
		{"admitted and silent", []sighting{ticket(5, 0, 1), load(5, 50, 51), load(5, 91, 92)}, true},
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

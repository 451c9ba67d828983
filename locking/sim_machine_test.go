package locking_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"cairn/locking"
	"cairn/objects/record"
)

// machine is one kernel after another, which hosts share: what a process can tell
// of another it tells by it.
type machine struct {
	*world
	name string

	mu    sync.Mutex
	boots int                          // guarded by mu
	pids  uint64                       // given out; guarded by mu
	kills map[*host]context.CancelFunc // of the running processes; guarded by mu
}

func (w *world) newMachine(name string) *machine {
	return &machine{world: w, name: name, kills: map[*host]context.CancelFunc{}}
}

// start returns a new process, which kill ends. Numbers are used again.
func (m *machine) start(h *host, kill context.CancelFunc) locking.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pids++
	p := locking.Process{
		BootID: fmt.Sprint(m.name, " boot ", m.boots), Namespace: h.namespace, PID: 1 + m.pids%3, Start: m.pids,
	}
	m.kills[h] = func() {
		kill() // before anybody can see that it is gone
		m.ended(p)
	}
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	m.running[p] = true
	return p
}

// ended notes that a process is gone.
func (m *machine) ended(p locking.Process) {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	delete(m.running, p)
}

// kill ends the process of h.
func (m *machine) kill(h *host) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kills[h]()
}

// reboot ends all processes, and nobody can tell of them any more.
func (m *machine) reboot() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boots++
	for _, kill := range m.kills {
		kill()
	}
	m.count(func(t *tally) { t.Reboots++ })
}

// look is what self can tell about q, as the system's own Look.
func (w *world) look(self, q locking.Process) locking.Liveness {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.mutant == deadStrangers && q.BootID == self.BootID && q.Namespace != self.Namespace:
		return locking.Dead // nobody has this number here
	case !locking.SharesKernel(q, self):
		w.tally.Untold++
		return locking.Untold
	case w.mutant == rashLook && w.dice.IntN(10) == 0:
		return locking.Dead // and perhaps it is
	case w.running[q]:
		w.tally.SeenAlive++
		return locking.Alive
	}
	return locking.Dead
}

// sawBeats notes when each beat was made. It needs mu.
func (w *world) sawBeats(prev, next *record.Head) {
	for _, p := range slices.Concat(next.Holders, next.Queue) {
		same := func(q record.Participant) bool { return q.ID == p.ID && q.Beat == p.Beat }
		if !slices.ContainsFunc(slices.Concat(prev.Holders, prev.Queue), same) {
			w.beaten[p.ID] = time.Now()
		}
	}
}

// sawEviction wants p to have been silent for long enough, or to be gone and by
// to be able to tell. It needs mu.
func (w *world) sawEviction(by string, p record.Participant) {
	w.tally.Evictions++
	if time.Since(w.beaten[p.ID]) >= locking.Takeover(p) {
		return
	}
	w.tally.AtOnce++
	if w.mutant == rashLook {
		return
	}
	process := locking.ProcessOf(p)
	switch {
	case w.running[process]:
		w.violate("%s evicted %s at once, which lives", by, p.Command)
	case !locking.SharesKernel(process, w.processes[by]):
		w.violate("%s evicted %s at once, of which it can tell nothing", by, p.Command)
	}
}

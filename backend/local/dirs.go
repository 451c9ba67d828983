package local

import (
	"errors"
	"path"
	"sync"

	"golang.org/x/sys/unix"
)

// dirs makes directories, and makes their entries durable. Concurrent calls
// share flushes, and so do directories that are there already. It remembers each
// directory it saw; a store has some hundreds.
type dirs struct {
	mkdir   func(name string) error
	readDir func(name string) ([]string, error) // the names in it
	fsync   func(name string) error

	mu      sync.Mutex
	durable map[string]bool   // entered durably in its parent; guarded by mu
	queues  map[string]*queue // guarded by mu
}

// A queue orders the flushes of one directory.
type queue struct {
	running chan struct{} // of one place, taken during a flush
	next    *round        // the flush that has not started, if any; guarded by dirs.mu
}

// A round is one flush, which all who came before its start share.
type round struct {
	done chan struct{} // closed when err is final
	err  error
}

func newDirs(mkdir func(string) error, readDir func(string) ([]string, error), fsync func(string) error) *dirs {
	return &dirs{
		mkdir: mkdir, readDir: readDir, fsync: fsync,
		durable: map[string]bool{".": true},
		queues:  make(map[string]*queue),
	}
}

// ensure returns when the directory is there, durably, and all those above it.
func (d *dirs) ensure(name string) error {
	d.mu.Lock()
	known := d.durable[name]
	d.mu.Unlock()
	if known {
		return nil
	}
	parent := path.Dir(name)
	if err := d.ensure(parent); err != nil {
		return err
	}
	covered := []string{name} // by a flush that starts from here on
	if err := d.mkdir(name); errors.Is(err, unix.EEXIST) {
		there, err := d.readDir(parent)
		if err != nil {
			return err
		}
		for _, sibling := range there {
			covered = append(covered, path.Join(parent, sibling)) // nobody asks for a file
		}
	} else if err != nil {
		return err
	}
	// Also where it was there before: whoever made it may have died, or may not
	// have come to the flush yet. So may those who made the others, which this
	// flush makes durable, too: none of them needs one of its own.
	if err := d.flush(parent); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dir := range covered {
		d.durable[dir] = true
	}
	return nil
}

// forget makes ensure look at every directory anew.
func (d *dirs) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.durable = map[string]bool{".": true}
}

// flush returns the outcome of a flush of the directory that started after the
// call: it covers every entry that was made before.
func (d *dirs) flush(name string) error {
	d.mu.Lock()
	q := d.queues[name]
	if q == nil {
		q = &queue{running: make(chan struct{}, 1)}
		d.queues[name] = q
	}
	if r := q.next; r != nil {
		d.mu.Unlock()
		<-r.done
		return r.err
	}
	r := &round{done: make(chan struct{})}
	q.next = r
	d.mu.Unlock()

	q.running <- struct{}{}
	defer func() { <-q.running }()
	d.mu.Lock()
	q.next = nil // whoever comes from here on may have come too late for this one
	d.mu.Unlock()
	defer close(r.done)
	r.err = d.fsync(name)
	return r.err
}

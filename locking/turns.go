package locking

import "time"

// Turns say how a run's time went, as far as others had a part in it.
type Turns struct {
	Waited time.Duration // for the lease, from asking to having it, in all turns
	Held   time.Duration // the lease, in all turns that are over
}

// Turns returns how long the run waited for its turns, and how long they were.
func (w *Writer) Turns() Turns {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.turns
}

// waited notes that the lease was asked for at begun, and is held now, or not
// waited for any longer.
func (w *Writer) waited(begun time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turns.Waited += w.chain.options.Now().Sub(begun)
}

// stand moves the run to s. It needs mu.
func (w *Writer) stand(s leaseState) {
	now := w.chain.options.Now()
	had, has := hasTurn(w.state), hasTurn(s)
	switch {
	case !had && has:
		w.turn = now
	case had && !has:
		w.turns.Held += now.Sub(w.turn)
	}
	w.state = s
}

// hasTurn reports whether the lease is held, as far as is known.
func hasTurn(s leaseState) bool { return s == holding || s == leaving }

package locking

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"cairn/objects/crypt"
	"cairn/objects/record"
)

// Rollback says what to do when the repository is not what was seen before.
type Rollback int

// What to do about a repository that was rolled back or forked.
const (
	RefuseRollback Rollback = iota // stop with ErrRolledBack or ErrForked
	AcceptRollback                 // take it as it is, once, and remember it so
)

// Options says how to reach one repository. Register, Records and Keys are
// needed; all else has usable zero values.
type Options struct {
	Register Register
	Records  Records
	Keys     *crypt.Keys

	Known    *record.State // what the caller's cache holds, outdated or not; never changed. nil: nothing
	Witness  *Witness      // nil: what was seen is forgotten with the Chain
	Rollback Rollback

	Self   Process                // the caller, for others; zero: silence decides
	Look   func(Process) Liveness // what can be told of others; nil: nothing
	Warn   func(error)            // is told of what did no harm; nil: nobody is
	Timing Timing

	Now func() time.Time // nil: time.Now
	// Random makes nonces and ids; it must be safe for concurrent use. nil:
	// crypto/rand.
	Random io.Reader

	mutants mutants
}

// mutants are rules of the protocol that a test can switch off, to see that
// its absence is noticed.
type mutants struct {
	unshown   bool // commit without a look at what was condemned
	unfenced  bool // commit whoever holds the lease
	staleMark bool // condemn by a mark of whatever generation
	readmits  bool // commit what was condemned
}

// Timing is how fast things go; zero fields stand for the defaults, which are
// right outside of tests.
type Timing struct {
	TTL     time.Duration // of a lease: 5 min
	MinPoll time.Duration // the shortest pause of the next in the queue: 1/3000 of TTL, 100 ms
	MaxPoll time.Duration // anybody's longest: 1/20 of TTL, 15 s
}

// complete returns o with its defaults filled in.
func (o Options) complete() (Options, error) {
	if o.Register == nil || o.Records == nil || o.Keys == nil {
		return o, errors.New("register, records and keys are needed")
	}
	t := &o.Timing
	setDefault(&t.TTL, 5*time.Minute)
	setDefault(&t.MinPoll, t.TTL/3000)
	setDefault(&t.MaxPoll, max(t.MinPoll, t.TTL/20))
	if t.TTL < time.Millisecond || t.TTL > maxTTL || t.MinPoll < 0 || t.MaxPoll < t.MinPoll {
		return o, fmt.Errorf("timing %+v is out of range", *t)
	}
	if o.Look == nil {
		o.Look = func(Process) Liveness { return Untold }
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return o, nil
}

func setDefault(d *time.Duration, otherwise time.Duration) {
	if *d == 0 {
		*d = otherwise
	}
}

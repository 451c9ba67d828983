package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cairn/backend"
)

// A Subject is a store to Examine.
type Subject struct {
	Store backend.Backend
	// Cell makes a register for Run. Chain, unless nil, makes one of the other
	// kind that the store can have, for where Cell's is CreateOnly.
	Cell, Chain func() (Cell, error)
	// RefusesDamage, unless nil, reports whether the store compares what it gets
	// with a checksum.
	RefusesDamage func(ctx context.Context) (bool, error)
	Now           func() time.Time
	// Begins, unless nil, is told what is tried next.
	Begins func(Property)
}

// A Property is something that cairn relies on in a store, or would like to. Its
// value names it for people and programs.
type Property string

// The properties. Swap is what keeps writers apart; without Checksum damage on the
// way is found only when the object is read.
const (
	Reach    Property = "reach"
	Write    Property = "write"
	Read     Property = "read back"
	Part     Property = "read a part"
	List     Property = "list"
	Once     Property = "create once"
	Delete   Property = "delete"
	Swap     Property = "swap"
	Checksum Property = "checksum"
)

// A Finding is what came of trying out one property: a nil Err says that it
// holds, an ErrBroken that it does not, and any other error that the store could
// not be asked.
type Finding struct {
	Property Property
	Err      error
}

// A Report is what Examine found.
type Report struct {
	Findings []Finding
	Latency  time.Duration // of the smallest request: the median of some
	Up, Down float64       // bytes a second, of one large object
	Clock    time.Duration // by how much the store's clock is ahead of Now
	Within   time.Duration // how exactly that is known
	Verdict  Verdict       // on Cell
	Chain    Verdict       // on Chain, where Cell is CreateOnly
	Key      backend.Key   // what the keys of the objects begin with
	Left     bool          // some could not be removed
}

// What the keys of the small objects end in.
const (
	timeEnd = "-time"
	onceEnd = "-once"
)

const (
	pings    = 9
	largeLen = 4 << 20 // of the large object, bytes
)

// Examine tries out what a store can do, with objects of its own whose keys begin
// with "doctor-", and removes them. An error says that the store cannot be asked
// anything at all. What a property depends on comes before it, and ends it.
func Examine(ctx context.Context, s Subject) (*Report, error) {
	e := &examiner{s: s, key: backend.Key("doctor-" + strings.ToLower(rand.Text()))}
	e.begins(Reach)
	if err := e.reach(ctx); err != nil {
		return nil, err
	}
	e.found(Reach, nil)
	e.report.Key = e.key
	defer e.clean(ctx)
	steps := []struct {
		property Property
		try      func(context.Context) error
	}{
		{Write, e.write}, {Read, e.read}, {Part, e.part}, {List, e.list}, {Once, e.once}, {Delete, e.delete},
		{Swap, e.swap}, {Checksum, e.checksum},
	}
	for _, step := range steps {
		if step.property == Checksum && s.RefusesDamage == nil {
			continue
		}
		e.begins(step.property)
		err := step.try(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e.found(step.property, err)
		if step.property == Write && err != nil {
			break
		}
	}
	return &e.report, nil
}

// An examiner examines one store.
type examiner struct {
	s      Subject
	key    backend.Key // of the large object, and what the others begin with
	large  []byte
	report Report
}

func (e *examiner) begins(p Property) {
	if e.s.Begins != nil {
		e.s.Begins(p)
	}
}

func (e *examiner) found(p Property, err error) {
	e.report.Findings = append(e.report.Findings, Finding{p, err})
}

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBroken, fmt.Sprintf(format, args...))
}

// reach asks for what is not there.
func (e *examiner) reach(ctx context.Context) error {
	var took []time.Duration
	for range pings {
		begun := e.s.Now()
		if _, err := e.s.Store.Stat(ctx, e.key); !errors.Is(err, backend.ErrNotExist) {
			return err
		}
		took = append(took, e.s.Now().Sub(begun))
	}
	slices.Sort(took)
	e.report.Latency = took[pings/2]
	return nil
}

func (e *examiner) write(ctx context.Context) error {
	e.large = make([]byte, largeLen)
	if _, err := rand.Read(e.large); err != nil {
		return err
	}
	small := e.key + timeEnd
	begun := e.s.Now()
	if err := e.s.Store.Put(ctx, small, []byte("cairn doctor")); err != nil {
		return err
	}
	e.report.Within = e.s.Now().Sub(begun)
	info, err := e.s.Store.Stat(ctx, small)
	if err != nil {
		return err
	}
	e.report.Clock = info.ModTime.Sub(begun.Add(e.report.Within / 2))
	begun = e.s.Now()
	if err := e.s.Store.Put(ctx, e.key, e.large); err != nil {
		return err
	}
	e.report.Up = rate(largeLen, e.s.Now().Sub(begun))
	return nil
}

func rate(n int, took time.Duration) float64 {
	return float64(n) / max(took, time.Microsecond).Seconds()
}

func (e *examiner) read(ctx context.Context) error {
	begun := e.s.Now()
	data, err := e.s.Store.Get(ctx, e.key, backend.Range{})
	if err != nil {
		return absent(err, "what was just written is not there")
	}
	e.report.Down = rate(largeLen, e.s.Now().Sub(begun))
	if !bytes.Equal(data, e.large) {
		return broken("other bytes come back than were written")
	}
	return nil
}

// absent returns err, as an ErrBroken that says what if the store calls something
// missing that is not.
func absent(err error, what string) error {
	if errors.Is(err, backend.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrBroken, what)
	}
	return err
}

func (e *examiner) part(ctx context.Context) error {
	const off, n = largeLen / 3, 1000
	data, err := e.s.Store.Get(ctx, e.key, backend.Range{Off: off, Len: n})
	if err == nil && !bytes.Equal(data, e.large[off:off+n]) {
		err = broken("another part comes back than was asked for")
	}
	return err
}

// listed returns the keys that begin with that of the large object.
func (e *examiner) listed(ctx context.Context) (keys []backend.Key, err error) {
	for info, err := range e.s.Store.List(ctx, backend.Prefix(e.key)) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, info.Key)
	}
	return keys, nil
}

func (e *examiner) list(ctx context.Context) error {
	keys, err := e.listed(ctx)
	if err == nil && !slices.Contains(keys, e.key) {
		err = broken("what was just written is not listed")
	}
	return err
}

// once lets several create one object at the same time.
func (e *examiner) once(ctx context.Context) error {
	key := e.key + onceEnd
	var values [racers][]byte
	var outcomes [racers]error
	var group sync.WaitGroup
	for i := range racers {
		values[i] = fmt.Appendf(nil, "creator %d", i)
		group.Go(func() { outcomes[i] = e.s.Store.Put(ctx, key, values[i]) })
	}
	group.Wait()
	winner := -1
	for i, err := range outcomes {
		switch {
		case err == nil && winner >= 0:
			return broken("two that created one object at the same time both succeeded")
		case err == nil:
			winner = i
		case !errors.Is(err, backend.ErrExist):
			return err
		}
	}
	data, err := e.s.Store.Get(ctx, key, backend.Range{})
	switch {
	case err != nil:
		return absent(err, "of several that created an object none did")
	case winner >= 0 && !bytes.Equal(data, values[winner]):
		return broken("an object that was there was replaced")
	}
	return nil
}

// delete removes all objects, which must be gone then.
func (e *examiner) delete(ctx context.Context) error {
	if err := e.remove(ctx); err != nil {
		return err
	}
	_, err := e.s.Store.Get(ctx, e.key, backend.Range{})
	if err == nil {
		return broken("what was just deleted can still be read")
	}
	if !errors.Is(err, backend.ErrNotExist) {
		return err
	}
	keys, err := e.listed(ctx)
	if err == nil && len(keys) > 0 {
		err = broken("what was just deleted is still listed")
	}
	return err
}

func (e *examiner) swap(ctx context.Context) (err error) {
	e.report.Verdict, err = Run(ctx, Thorough, e.s.Cell)
	if err == nil && e.report.Verdict == CreateOnly && e.s.Chain != nil {
		e.report.Chain, err = Run(ctx, Thorough, e.s.Chain)
	}
	if err == nil && max(e.report.Verdict, e.report.Chain) != CAS {
		err = broken("two that replaced one value at the same time both succeeded")
	}
	return err
}

func (e *examiner) checksum(ctx context.Context) error {
	refuses, err := e.s.RefusesDamage(ctx)
	if err == nil && !refuses {
		err = broken("bytes that do not have the checksum that came with them were kept")
	}
	return err
}

// patience is how long cleaning may take when the examination was cancelled.
const patience = 10 * time.Second

// clean removes what is left, also when the context has ended. If it cannot, that
// was found before.
func (e *examiner) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	e.report.Left = e.remove(ctx) != nil
}

// remove removes all objects.
func (e *examiner) remove(ctx context.Context) (err error) {
	for _, key := range []backend.Key{e.key, e.key + timeEnd, e.key + onceEnd} {
		if failed := e.s.Store.Delete(ctx, key); err == nil {
			err = failed
		}
	}
	return err
}

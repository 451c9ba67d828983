package probe_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/backend/probe"
)

// subject is a store in memory, with a good register.
func subject(s backend.Backend) probe.Subject {
	return probe.Subject{
		Store: s, Now: time.Now,
		Cell: func() (probe.Cell, error) { return good(), nil },
	}
}

func good() probe.Cell {
	c := &cell{Store: new(mem.Store), removed: new(int)}
	c.swap = c.Store.Swap
	return c
}

// wantFindings examines a store, and wants these properties not to hold, and
// nothing to be left.
func wantFindings(t *testing.T, s probe.Subject, want map[probe.Property]error) *probe.Report {
	t.Helper()
	report, err := probe.Examine(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if wanted := want[f.Property]; !errors.Is(f.Err, wanted) {
			t.Errorf("%s: got %v, want %v", f.Property, f.Err, wanted)
		}
		delete(want, f.Property)
	}
	for p := range want {
		t.Errorf("%s was not tried", p)
	}
	return report
}

func TestExamineGood(t *testing.T) {
	t.Parallel()
	s := new(mem.Store)
	report := wantFindings(t, subject(s), map[probe.Property]error{probe.Swap: nil})
	if len(report.Findings) != 8 || report.Verdict != probe.CAS || report.Up == 0 || report.Down == 0 || report.Within == 0 {
		t.Errorf("got %+v", report)
	}
	for info := range s.List(t.Context(), "") {
		t.Errorf("%s was left behind", info.Key)
	}
}

// bad is a store that does what it should not.
type bad struct {
	*mem.Store
	put    func(context.Context, backend.Key, ...[]byte) error
	get    func(context.Context, backend.Key, backend.Range) ([]byte, error)
	list   func(context.Context, backend.Prefix) iter.Seq2[backend.Info, error]
	delete func(context.Context, backend.Key) error
}

func (b *bad) Put(ctx context.Context, key backend.Key, parts ...[]byte) error {
	return b.put(ctx, key, parts...)
}

func (b *bad) Get(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error) {
	return b.get(ctx, key, r)
}

func (b *bad) List(ctx context.Context, p backend.Prefix) iter.Seq2[backend.Info, error] {
	return b.list(ctx, p)
}

func (b *bad) Delete(ctx context.Context, key backend.Key) error { return b.delete(ctx, key) }

func TestExamineBad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		worsen func(*bad)
		want   map[probe.Property]error
	}{
		"no right to write": {func(b *bad) {
			b.put = func(context.Context, backend.Key, ...[]byte) error { return backend.ErrDenied }
		}, map[probe.Property]error{probe.Write: backend.ErrDenied}},
		"replaces": {func(b *bad) {
			b.put = func(ctx context.Context, key backend.Key, parts ...[]byte) error {
				_ = b.Store.Delete(ctx, key)
				if err := b.Store.Put(ctx, key, parts...); !errors.Is(err, backend.ErrExist) {
					return err
				}
				return nil
			}
		}, map[probe.Property]error{probe.Once: probe.ErrBroken}},
		"ignores ranges": {func(b *bad) {
			b.get = func(ctx context.Context, key backend.Key, _ backend.Range) ([]byte, error) {
				return b.Store.Get(ctx, key, backend.Range{})
			}
		}, map[probe.Property]error{probe.Part: probe.ErrBroken}},
		"lists later": {func(b *bad) {
			b.list = func(context.Context, backend.Prefix) iter.Seq2[backend.Info, error] {
				return func(func(backend.Info, error) bool) {}
			}
		}, map[probe.Property]error{probe.List: probe.ErrBroken}},
		"no right to list": {func(b *bad) {
			b.list = func(context.Context, backend.Prefix) iter.Seq2[backend.Info, error] {
				return func(yield func(backend.Info, error) bool) { yield(backend.Info{}, backend.ErrDenied) }
			}
		}, map[probe.Property]error{probe.List: backend.ErrDenied, probe.Delete: backend.ErrDenied}},
		"no right to delete": {func(b *bad) {
			b.delete = func(context.Context, backend.Key) error { return backend.ErrDenied }
		}, map[probe.Property]error{probe.Delete: backend.ErrDenied}},
		"deletes nothing": {func(b *bad) {
			b.delete = func(context.Context, backend.Key) error { return nil }
		}, map[probe.Property]error{probe.Delete: probe.ErrBroken}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bad{Store: new(mem.Store)}
			b.put, b.get, b.list, b.delete = b.Store.Put, b.Store.Get, b.Store.List, b.Store.Delete
			c.worsen(b)
			wantFindings(t, subject(b), c.want)
		})
	}
}

// TestExamineRegister holds what is said of stores that cannot replace, or keep
// what was damaged on its way.
func TestExamineRegister(t *testing.T) {
	t.Parallel()
	s := subject(new(mem.Store))
	s.Cell = func() (probe.Cell, error) {
		c := &cell{Store: new(mem.Store), removed: new(int)}
		c.swap = func(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
			if old == "" {
				return c.Store.Swap(ctx, old, value)
			}
			return c.force(ctx, value)
		}
		return c, nil
	}
	s.RefusesDamage = func(context.Context) (bool, error) { return false, nil }
	wantFindings(t, s, map[probe.Property]error{probe.Swap: probe.ErrBroken, probe.Checksum: probe.ErrBroken})
	s.Chain = func() (probe.Cell, error) { return good(), nil }
	s.RefusesDamage = func(context.Context) (bool, error) { return true, nil }
	report := wantFindings(t, s, map[probe.Property]error{probe.Swap: nil, probe.Checksum: nil})
	if report.Verdict != probe.CreateOnly || report.Chain != probe.CAS {
		t.Errorf("got %s and %s, want create-only and cas", report.Verdict, report.Chain)
	}
}

// TestExamineUnreachable: a store that cannot be asked has no properties.
func TestExamineUnreachable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := probe.Examine(ctx, subject(new(mem.Store))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

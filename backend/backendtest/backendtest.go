// Package backendtest holds implementations of package backend to its contract.
package backendtest

import (
	"context"
	"iter"
	"testing"

	"cairn/backend"
)

// A check is one clause of the contract and the test that holds it. The clause
// is logged when the test fails, so that a failure says what was promised.
type check[S any] struct {
	name   string
	clause string
	test   func(t *testing.T, s S)
}

func runAll[S any](t *testing.T, checks []check[S], open func(t *testing.T) S) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the contract: %s", c.clause)
				}
			})
			c.test(t, open(t))
		})
	}
}

// Run tests the backends that open returns. Each of them must be empty and
// used by nothing else; Run closes it.
func Run(t *testing.T, open func(t *testing.T) backend.Backend) {
	t.Helper()
	runAll(t, backendChecks(), func(t *testing.T) backend.Backend {
		b := open(t)
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Errorf("close: got %v, want no error", err)
			}
		})
		return b
	})
}

// Register is what package backend says of a store's register.
type Register interface {
	Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error)
	Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error)
}

// RunRegister tests the registers that open returns. Each of them must never
// have been written, and is used by nothing else.
func RunRegister(t *testing.T, open func(t *testing.T) Register) {
	t.Helper()
	runAll(t, registerChecks(), open)
}

// keys collects a listing's keys, and fails t on an error.
func keys(t *testing.T, listing iter.Seq2[backend.Info, error]) []backend.Key {
	t.Helper()
	var found []backend.Key
	for info, err := range listing {
		if err != nil {
			t.Fatalf("list: got %v after %d objects, want no error", err, len(found))
		}
		found = append(found, info.Key)
	}
	return found
}

func put(t *testing.T, b backend.Backend, key backend.Key, parts ...[]byte) {
	t.Helper()
	if err := b.Put(t.Context(), key, parts...); err != nil {
		t.Fatalf("put %s: got %v, want no error", key, err)
	}
}

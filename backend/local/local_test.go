package local_test

import (
	"testing"

	"cairn/backend"
	"cairn/backend/backendtest"
	"cairn/backend/local"
)

func TestContract(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, func(t *testing.T) backend.Backend {
		return open(t, create(t), local.Options{})
	})
}

func TestRegisterContract(t *testing.T) {
	t.Parallel()
	backendtest.RunRegister(t, func(t *testing.T) backendtest.Register {
		s := open(t, create(t), local.Options{})
		t.Cleanup(func() { s.Close() })
		return s
	})
}

// create makes a store and returns its path.
func create(t testing.TB) string {
	t.Helper()
	dir := t.TempDir() + "/store"
	if err := local.Create(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t testing.TB, dir string, o local.Options) *local.Store {
	t.Helper()
	s, err := local.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

package mem_test

import (
	"errors"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/backendtest"
	"cairn/backend/mem"
)

func TestContract(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, func(*testing.T) backend.Backend { return new(mem.Store) })
}

func TestRegisterContract(t *testing.T) {
	t.Parallel()
	backendtest.RunRegister(t, func(*testing.T) backendtest.Register { return new(mem.Store) })
}

func TestHookFailsOnBothSidesOfTheEffect(t *testing.T) {
	t.Parallel()
	lost := errors.New("lost")
	for at, wantAfter := range map[mem.Moment]error{mem.Before: backend.ErrNotExist, mem.After: nil} {
		s := &mem.Store{Hook: mem.FailNth(mem.Put, 2, at, lost)}
		if err := s.Put(t.Context(), "first"); err != nil {
			t.Fatalf("first put: got %v, want no error", err)
		}
		if err := s.Put(t.Context(), "second"); !errors.Is(err, lost) {
			t.Errorf("second put: got %v, want the hook's error", err)
		}
		if _, err := s.Stat(t.Context(), "second"); !errors.Is(err, wantAfter) {
			t.Errorf("moment %d: stat: got %v, want %v", at, err, wantAfter)
		}
		if got := s.Count(mem.Put); got != 2 {
			t.Errorf("count of puts: got %d, want 2", got)
		}
	}
}

func TestSwapWhoseReplyIsLostIsUnknown(t *testing.T) {
	t.Parallel()
	lost := errors.New("lost")
	s := &mem.Store{Hook: mem.FailNth(mem.Swap, 1, mem.After, lost)}
	_, err := s.Swap(t.Context(), "", []byte("value"))
	if !errors.Is(err, backend.ErrUnknown) || !errors.Is(err, lost) {
		t.Errorf("swap: got %v, want ErrUnknown and the hook's error", err)
	}
	if value, _, err := s.Load(t.Context(), ""); string(value) != "value" || err != nil {
		t.Errorf("load: got %q, %v, want the value", value, err)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	when := time.Unix(1e9, 0)
	s := &mem.Store{Now: func() time.Time { return when }}
	if err := s.Put(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Stat(t.Context(), "k"); !info.ModTime.Equal(when) || err != nil {
		t.Errorf("stat: got %v, %v, want the clock's time", info, err)
	}
}

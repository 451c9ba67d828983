package backendtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"cairn/backend"
)

func registerChecks() []check[Register] {
	return []check[Register]{
		{"NeverWritten", "a cell that was never written is ErrNotExist", neverWritten},
		{"Create", "an empty old tag creates the cell", create},
		{"CreateOnce", "a cell that is there cannot be created", createOnce},
		{"CreateRace", "of concurrent creators one succeeds at most", createCellRace},
		{"Replace", "Swap replaces the value that has the old tag, and tags the new one", replace},
		{"Stale", "a swap of an older value is not applied, however many swaps lie between", stale},
		{"IfChanged", "Load of an unchanged cell returns a nil value and the same tag", ifChanged},
		{"OwnedValues", "Swap neither keeps nor changes its value; the caller owns what Load returns", ownedValues},
		{"Bounds", "a value has 1 to MaxValue bytes", bounds},
		{"CancelledSwap", "a call whose context has ended does nothing and answers the context's error", cancelledSwap},
		{"Count", "no update is lost or applied twice", count},
	}
}

func neverWritten(t *testing.T, r Register) {
	value, tag, err := r.Load(t.Context(), "")
	if !errors.Is(err, backend.ErrNotExist) || value != nil || tag != "" {
		t.Errorf("load: got %q, %q, %v, want ErrNotExist", value, tag, err)
	}
}

func create(t *testing.T, r Register) {
	tag := swap(t, r, "", "first")
	wantValue(t, r, tag, "first")
}

func createOnce(t *testing.T, r Register) {
	tag := swap(t, r, "", "first")
	wantRefused(t, r, "", "second")
	wantValue(t, r, tag, "first")
}

func createCellRace(t *testing.T, r Register) {
	var mu sync.Mutex
	var winners []string
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			value := fmt.Sprintf("creator %d", i)
			_, err := r.Swap(t.Context(), "", []byte(value))
			if err == nil {
				mu.Lock()
				winners = append(winners, value)
				mu.Unlock()
			} else if !refused(err) {
				t.Errorf("swap: got %v, want ErrConflict or ErrUnknown", err)
			}
		})
	}
	group.Wait()
	value, _, err := r.Load(t.Context(), "")
	if err != nil || len(winners) > 1 || len(winners) == 1 && winners[0] != string(value) {
		t.Errorf("load: got %q, %v with the winners %q, want one winner's value", value, err, winners)
	}
}

func replace(t *testing.T, r Register) {
	tags := []backend.Tag{swap(t, r, "", "value 0")}
	for i := 1; i < 40; i++ {
		value := fmt.Sprintf("value %d", i)
		tag := swap(t, r, tags[i-1], value)
		if tag == "" || slices.Contains(tags, tag) {
			t.Fatalf("swap %d: got the tag %q, want a new one", i, tag)
		}
		tags = append(tags, tag)
		wantValue(t, r, tag, value)
	}
}

func stale(t *testing.T, r Register) {
	tags := []backend.Tag{swap(t, r, "", "value 0")}
	for i := 1; i < 40; i++ {
		tags = append(tags, swap(t, r, tags[i-1], fmt.Sprintf("value %d", i)))
	}
	for i, old := range append(tags[:39:39], "") {
		wantRefused(t, r, old, fmt.Sprintf("stale %d", i))
	}
	wantValue(t, r, tags[39], "value 39")
	wantValue(t, r, swap(t, r, tags[39], "value 40"), "value 40")
}

func ifChanged(t *testing.T, r Register) {
	first := swap(t, r, "", "first")
	value, tag, err := r.Load(t.Context(), first)
	if value != nil || tag != first || err != nil {
		t.Errorf("load of the same: got %q, %q, %v, want nil and the same tag", value, tag, err)
	}
	second := swap(t, r, first, "second")
	value, tag, err = r.Load(t.Context(), first)
	if string(value) != "second" || tag != second || err != nil {
		t.Errorf("load of a change: got %q, %q, %v, want the second value", value, tag, err)
	}
}

func ownedValues(t *testing.T, r Register) {
	value := []byte("first")
	tag, err := r.Swap(t.Context(), "", value)
	if err != nil || string(value) != "first" {
		t.Fatalf("swap: got %v, and the value is %q, want it unchanged", err, value)
	}
	copy(value, "XXXXX")
	loaded, _, err := r.Load(t.Context(), "")
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	copy(loaded, "YYYYY")
	wantValue(t, r, tag, "first")
}

func bounds(t *testing.T, r Register) {
	for _, n := range []int{0, backend.MaxValue + 1} {
		if _, err := r.Swap(t.Context(), "", make([]byte, n)); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("swap of %d bytes: got %v, want ErrInvalid", n, err)
		}
	}
	neverWritten(t, r)
	greatest := bytes.Repeat([]byte("x"), backend.MaxValue)
	wantValue(t, r, swap(t, r, "", string(greatest)), string(greatest))
}

func cancelledSwap(t *testing.T, r Register) {
	tag := swap(t, r, "", "first")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Swap(ctx, tag, []byte("second")); !errors.Is(err, context.Canceled) {
		t.Errorf("swap: got %v, want context.Canceled", err)
	}
	if _, _, err := r.Load(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("load: got %v, want context.Canceled", err)
	}
	wantValue(t, r, tag, "first")
}

func count(t *testing.T, r Register) {
	const workers, each = 8, 12
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			if err := Count(t.Context(), r, fmt.Sprint(w), each); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	counts, err := Counts(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for w := range workers {
		if got := counts[fmt.Sprint(w)]; got != each {
			t.Errorf("count of worker %d: got %d, want %d", w, got, each)
		}
	}
}

// Count adds one to the counter called worker in the register, n times, while
// others count in the same register. It returns an error on the first update
// that was lost or applied twice. A worker's name is its own.
func Count(ctx context.Context, r Register, worker string, n int) error {
	tries := 0
	for done := 0; done < n; {
		counts, tag, err := load(ctx, r)
		if err != nil {
			return err
		}
		if counts[worker] != done {
			return fmt.Errorf("counter %s is %d after %d updates", worker, counts[worker], done)
		}
		counts[worker]++
		tries++
		counts["tries of "+worker] = tries // so that no value is ever tried twice
		value, err := json.Marshal(counts)
		if err != nil {
			return fmt.Errorf("encode counters: %w", err)
		}
		applied, err := attempt(ctx, r, tag, value, worker)
		if err != nil {
			return err
		}
		if applied {
			done++
		}
	}
	return nil
}

// attempt swaps value in, and settles an unknown outcome by a look at worker's
// counter.
func attempt(ctx context.Context, r Register, old backend.Tag, value []byte, worker string) (applied bool, err error) {
	var wanted map[string]int
	if err := json.Unmarshal(value, &wanted); err != nil {
		return false, fmt.Errorf("decode counters: %w", err)
	}
	_, err = r.Swap(ctx, old, value)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, backend.ErrConflict):
		return false, nil
	case errors.Is(err, backend.ErrUnknown):
		counts, _, err := load(ctx, r)
		return counts[worker] == wanted[worker], err
	}
	return false, err
}

// Counts returns the counters that Count keeps in the register.
func Counts(ctx context.Context, r Register) (map[string]int, error) {
	counts, _, err := load(ctx, r)
	return counts, err
}

func load(ctx context.Context, r Register) (map[string]int, backend.Tag, error) {
	counts := make(map[string]int)
	value, tag, err := r.Load(ctx, "")
	if errors.Is(err, backend.ErrNotExist) {
		return counts, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(value, &counts); err != nil {
		return nil, "", fmt.Errorf("decode counters: %w", err)
	}
	return counts, tag, nil
}

func swap(t *testing.T, r Register, old backend.Tag, value string) backend.Tag {
	t.Helper()
	tag, err := r.Swap(t.Context(), old, []byte(value))
	if err != nil {
		t.Fatalf("swap %.20q for %q: got %v, want no error", value, old, err)
	}
	return tag
}

func wantValue(t *testing.T, r Register, tag backend.Tag, value string) {
	t.Helper()
	got, gotTag, err := r.Load(t.Context(), "")
	if string(got) != value || gotTag != tag || err != nil {
		t.Errorf("load: got %.20q, %q, %v, want %.20q, %q", got, gotTag, err, value, tag)
	}
}

func wantRefused(t *testing.T, r Register, old backend.Tag, value string) {
	t.Helper()
	if _, err := r.Swap(t.Context(), old, []byte(value)); !refused(err) {
		t.Errorf("swap for %q: got %v, want ErrConflict or ErrUnknown", old, err)
	}
}

// refused tells the two ways in which a store may turn away a swap that is too
// late: not every store can tell one from the other.
func refused(err error) bool {
	return errors.Is(err, backend.ErrConflict) || errors.Is(err, backend.ErrUnknown)
}

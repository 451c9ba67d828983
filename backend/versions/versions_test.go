package versions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"cairn/backend"
	"cairn/backend/backendtest"
)

// memory keeps files in memory, as a store does that can create only once.
type memory struct {
	mu    sync.Mutex
	files map[string][]byte // guarded by mu
	// fault, unless nil, is asked before and after each creation took effect.
	fault func() error
}

func (m *memory) Names(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.files)), nil
}

func (m *memory) Ahead(_ context.Context, names []string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, name := range names {
		if _, ok := m.files[name]; !ok {
			return i, nil
		}
	}
	return len(names), nil
}

func (m *memory) Read(_ context.Context, name string, limit int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.files[name]
	if !ok {
		return nil, backend.ErrNotExist
	}
	return bytes.Clone(data[:min(limit, int64(len(data)))]), nil
}

func (m *memory) Create(_ context.Context, name string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		if err := m.fault(); err != nil {
			return err
		}
	}
	if _, ok := m.files[name]; ok {
		return backend.ErrExist
	}
	if m.files == nil {
		m.files = map[string][]byte{}
	}
	m.files[name] = bytes.Clone(value)
	if m.fault != nil {
		return m.fault()
	}
	return nil
}

func (m *memory) Remove(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
	return nil
}

func (m *memory) Flush(context.Context) error { return nil }

func (m *memory) Later(ctx context.Context, do func(context.Context, Files)) error {
	do(ctx, m)
	return nil
}

func TestRegisterContract(t *testing.T) {
	t.Parallel()
	backendtest.RunRegister(t, func(*testing.T) backendtest.Register { return New(new(memory)) })
}

// TestCountOverFaults holds that no update is lost or doubled while one in four
// creations ends without an answer, by turns before and after it took effect.
func TestCountOverFaults(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	m := &memory{fault: func() error {
		if random.IntN(8) == 0 {
			return backend.ErrUnknown
		}
		return nil
	}}
	const workers, each = 8, 100
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			if err := backendtest.Count(t.Context(), New(m), fmt.Sprint(w), each); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	counts, err := backendtest.Counts(t.Context(), New(m))
	if err != nil {
		t.Fatal(err)
	}
	for w := range workers {
		if got := counts[fmt.Sprint(w)]; got != each {
			t.Errorf("worker %d: got %d updates, want %d", w, got, each)
		}
	}
}

// TestTwoStaleCreatorsInARow lets writers wake up long after their versions were
// collected. The second finds a file where the version it replaces was: the
// first one's.
func TestTwoStaleCreatorsInARow(t *testing.T) {
	t.Parallel()
	m := new(memory)
	r := New(m)
	tags := []backend.Tag{""}
	for i := 1; i <= 40; i++ {
		tag, err := r.Swap(t.Context(), tags[i-1], fmt.Appendf(nil, "value %d", i))
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, tag)
	}
	for _, old := range []int{5, 6, 7, 0, 1} {
		_, err := r.Swap(t.Context(), tags[old], fmt.Appendf(nil, "stale after %d", old))
		if !errors.Is(err, backend.ErrUnknown) || errors.Is(err, backend.ErrNotExist) {
			t.Errorf("swap of version %d: got %v, want ErrUnknown alone", old, err)
		}
	}
	if value, tag, err := r.Load(t.Context(), ""); string(value) != "value 40" || tag != tags[40] || err != nil {
		t.Errorf("load: got %q, %v, want value 40", value, err)
	}
	if _, err := r.Swap(t.Context(), tags[40], []byte("value 41")); err != nil {
		t.Errorf("swap after the stale ones: %v", err)
	}
	names := slices.Sorted(maps.Keys(m.files))
	if len(names) != kept || names[0] != version(41-kept+1).file() {
		t.Errorf("versions: got %v, want the last %d", names, kept)
	}
}

// TestKnownVersionAnew lets a version that a Register knows, and so the one after
// it, be collected and made anew by late writers. It believes neither.
func TestKnownVersionAnew(t *testing.T) {
	t.Parallel()
	for _, anew := range [][]int{{}, {6}, {7}, {7, 6}} {
		m := new(memory)
		late, r := New(m), New(m)
		tags := []backend.Tag{""}
		for i := 1; i <= 40; i++ {
			tag, err := r.Swap(t.Context(), tags[i-1], fmt.Appendf(nil, "value %d", i))
			if err != nil {
				t.Fatal(err)
			}
			tags = append(tags, tag)
			if i != 6 {
				continue
			}
			if _, tag, err := late.Load(t.Context(), ""); tag != tags[6] || err != nil {
				t.Fatalf("load: got %q, %v, want the sixth version", tag, err)
			}
		}
		for _, n := range anew {
			if _, err := New(m).Swap(t.Context(), tags[n-1], fmt.Appendf(nil, "late %d", n)); !errors.Is(err, backend.ErrUnknown) {
				t.Fatalf("late swap: got %v, want ErrUnknown", err)
			}
		}
		if _, err := late.Swap(t.Context(), tags[6], []byte("later")); !refused(err) {
			t.Errorf("%v made anew: swap of what is long gone: got %v, want it refused", anew, err)
		}
		if value, tag, err := late.Load(t.Context(), tags[6]); string(value) != "value 40" || tag != tags[40] || err != nil {
			t.Errorf("%v made anew: load: got %q, %v, want value 40", anew, value, err)
		}
	}
}

// TestCreatedAgain lets a creation take effect a second time, after its version
// was collected: whoever has known it all the while is not taken in.
func TestCreatedAgain(t *testing.T) {
	t.Parallel()
	m := new(memory)
	late, r := NewRepeating(m), NewRepeating(m)
	var known, tag backend.Tag
	for i := 1; i <= 40; i++ {
		var err error
		if tag, err = r.Swap(t.Context(), tag, fmt.Appendf(nil, "value %d", i)); err != nil {
			t.Fatal(err)
		}
		if i != 6 {
			continue
		}
		if _, known, err = late.Load(t.Context(), ""); known != tag || err != nil {
			t.Fatalf("load: got %q, %v, want the sixth version", known, err)
		}
	}
	if err := m.Create(t.Context(), version(6).file(), []byte("value 6")); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Swap(t.Context(), known, []byte("later")); !refused(err) {
		t.Errorf("swap of what is long gone: got %v, want it refused", err)
	}
	if value, got, err := late.Load(t.Context(), known); string(value) != "value 40" || got != tag || err != nil {
		t.Errorf("load: got %q, %v, want value 40", value, err)
	}
}

func refused(err error) bool {
	return errors.Is(err, backend.ErrConflict) || errors.Is(err, backend.ErrUnknown)
}

// TestFollow holds that whoever knows a version finds the current one, however
// many came after it, and lists no directory for the next few.
func TestFollow(t *testing.T) {
	t.Parallel()
	for n := range 2*kept + 1 {
		m := &counting{memory: new(memory)}
		writer, reader := New(m.memory), New(m)
		tag, err := writer.Swap(t.Context(), "", []byte("value 0"))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := reader.Load(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		m.listed = 0
		known := tag
		for i := range n {
			if tag, err = writer.Swap(t.Context(), tag, fmt.Appendf(nil, "value %d", i+1)); err != nil {
				t.Fatal(err)
			}
		}
		value, now, err := reader.Load(t.Context(), known)
		if now != tag || err != nil || n > 0 && string(value) != fmt.Sprintf("value %d", n) || n == 0 && value != nil {
			t.Errorf("%d versions on: got %q, %v", n, value, err)
		}
		if few := n < ahead; few != (m.listed == 0) {
			t.Errorf("%d versions on: listed %d times", n, m.listed)
		}
	}
}

// counting counts how often its files are listed.
type counting struct {
	*memory
	listed int
}

func (c *counting) Names(ctx context.Context) ([]string, error) {
	c.listed++
	return c.memory.Names(ctx)
}

func FuzzTag(f *testing.F) {
	f.Add("")
	f.Add(string(stateOf(1, []byte("value")).tag()))
	f.Add("0-00")
	f.Add("01-" + fmt.Sprintf("%064d", 0))
	f.Fuzz(func(t *testing.T, tag string) {
		s, err := parseTag(backend.Tag(tag))
		switch {
		case err != nil:
			if !errors.Is(err, backend.ErrInvalid) {
				t.Errorf("%q: got %v, want ErrInvalid", tag, err)
			}
		case tag == "":
			if s != (state{}) {
				t.Errorf("empty tag: got %v, want the zero state", s)
			}
		case string(s.tag()) != tag:
			t.Errorf("%q: encodes as %q", tag, s.tag())
		}
	})
}

func FuzzVersion(f *testing.F) {
	for _, seed := range []string{"v000000000001", "v1", "v000000000000", "v0000000000001", "", "w000000000001", "v+00000000001"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if v, ok := parseVersion(name); ok && (v.file() != name || v == 0) {
			t.Errorf("%q: is version %d, which is %s", name, v, v.file())
		}
	})
}

// lagging is a directory whose first listing shows what was there long ago.
type lagging struct {
	*memory
	names []string
}

func (l *lagging) Names(ctx context.Context) ([]string, error) {
	if names := l.names; names != nil {
		l.names = nil
		return names, nil
	}
	return l.memory.Names(ctx)
}

// TestReaderAndWriterBothLate lets a writer make a version anew that was
// collected, and somebody who listed the versions when it was the newest read
// that. It is neither the register's value, nor anything to build on.
func TestReaderAndWriterBothLate(t *testing.T) {
	t.Parallel()
	m := new(memory)
	r := New(m)
	tags := []backend.Tag{""}
	var then []string
	for i := 1; i <= 40; i++ {
		tag, err := r.Swap(t.Context(), tags[i-1], fmt.Appendf(nil, "value %d", i))
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, tag)
		if i == 6 {
			then = slices.Collect(maps.Keys(m.files))
		}
	}
	late := []byte("late")
	if _, err := r.Swap(t.Context(), tags[5], late); !errors.Is(err, backend.ErrUnknown) {
		t.Fatalf("late swap: got %v, want ErrUnknown", err)
	}
	if value, _, err := New(&lagging{m, then}).Load(t.Context(), ""); string(value) != "value 40" || err != nil {
		t.Errorf("late load: got %q, %v, want value 40", value, err)
	}
	if _, err := r.Swap(t.Context(), stateOf(6, late).tag(), []byte("later")); !errors.Is(err, backend.ErrUnknown) {
		t.Errorf("swap of what was loaded late: got %v, want ErrUnknown", err)
	}
}

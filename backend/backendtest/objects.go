package backendtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cairn/backend"
)

func backendChecks() []check[backend.Backend] {
	return []check[backend.Backend]{
		{"PutThenGet", "an object is the concatenation of its parts", putThenGet},
		{"Empty", "an object may be empty", empty},
		{"Ownership", "Put neither keeps nor changes its parts; the caller owns what Get returns", ownership},
		{"CreateOnly", "an object that is there stays as it is: ErrExist", createOnly},
		{"CreateRace", "of concurrent Puts of one key exactly one succeeds", createRace},
		{"Absent", "a missing object is ErrNotExist, and never an error of the file system", absent},
		{"Ranges", "Get returns exactly the asked bytes", ranges},
		{"RangesPastTheEnd", "an object that ends before the range does is a ShortError", rangesPastTheEnd},
		{"Stat", "Stat and List tell the size, and the time by the store's clock", stat},
		{"ListOrder", "List is in ascending order of the keys' bytes", listOrder},
		{"ListPrefix", "a prefix selects keys by their bytes, and may end within a segment", listPrefix},
		{"ListStops", "a loop over List may end early", listStops},
		{"Delete", "Delete removes an object; a missing one is no error", deletes},
		{"DeletedMayReturn", "a deleted key may be put again", deletedMayReturn},
		{"Invalid", "an invalid key, prefix or range is ErrInvalid", invalid},
		{"Cancelled", "a call whose context has ended does nothing and answers the context's error", cancelled},
		{"NoPart", "no reader sees a part of an object while its Put runs", noPart},
		{"Large", "an object may be larger than any buffer: 33 MiB", large},
		{"Many", "there may be many objects: 2000", many},
	}
}

func putThenGet(t *testing.T, b backend.Backend) {
	put(t, b, "packs/0f/0f3c", []byte("one,"), nil, []byte("two,"), []byte("three"))
	wantBytes(t, b, "packs/0f/0f3c", backend.Range{}, []byte("one,two,three"))
}

func empty(t *testing.T, b backend.Backend) {
	put(t, b, "none")
	put(t, b, "nothing", []byte{})
	wantBytes(t, b, "none", backend.Range{}, nil)
	wantBytes(t, b, "nothing", backend.Range{}, nil)
	if info, err := b.Stat(t.Context(), "none"); err != nil || info.Size != 0 {
		t.Errorf("stat: got %+v, %v, want size 0", info, err)
	}
}

func ownership(t *testing.T, b backend.Backend) {
	part := []byte("mine")
	put(t, b, "k", part, part)
	if string(part) != "mine" {
		t.Errorf("part after put: got %q, want it unchanged", part)
	}
	copy(part, "XXXX")
	got, err := b.Get(t.Context(), "k", backend.Range{})
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	copy(got, "YYYYYYYY")
	wantBytes(t, b, "k", backend.Range{}, []byte("minemine"))
}

func createOnly(t *testing.T, b backend.Backend) {
	put(t, b, "packs/0f/0f3c", []byte("first"))
	for _, other := range []string{"first", "second", ""} {
		err := b.Put(t.Context(), "packs/0f/0f3c", []byte(other))
		if !errors.Is(err, backend.ErrExist) || errors.Is(err, fs.ErrExist) {
			t.Errorf("put again: got %v, want ErrExist", err)
		}
	}
	wantBytes(t, b, "packs/0f/0f3c", backend.Range{}, []byte("first"))
}

func createRace(t *testing.T, b backend.Backend) {
	const racers = 16
	for round := range 4 {
		key := backend.Key(fmt.Sprintf("race/%d", round))
		var won atomic.Int64
		won.Store(-1)
		var group sync.WaitGroup
		for i := range racers {
			group.Go(func() {
				err := b.Put(t.Context(), key, random(uint64(i), 4096))
				switch {
				case err == nil && !won.CompareAndSwap(-1, int64(i)):
					t.Errorf("put %s: racer %d and %d succeeded, want one", key, i, won.Load())
				case err != nil && !errors.Is(err, backend.ErrExist):
					t.Errorf("put %s: got %v, want ErrExist", key, err)
				}
			})
		}
		group.Wait()
		if won.Load() < 0 {
			t.Fatalf("put %s: nobody succeeded, want one", key)
		}
		wantBytes(t, b, key, backend.Range{}, random(uint64(won.Load()), 4096))
	}
}

func absent(t *testing.T, b backend.Backend) {
	put(t, b, "there/is")
	for _, key := range []backend.Key{"missing", "there/missing", "missing/too", "there"} {
		_, getErr := b.Get(t.Context(), key, backend.Range{})
		_, rangeErr := b.Get(t.Context(), key, backend.Range{Off: 1, Len: 1})
		_, statErr := b.Stat(t.Context(), key)
		for _, err := range []error{getErr, rangeErr, statErr} {
			if !errors.Is(err, backend.ErrNotExist) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: got %v, want ErrNotExist", key, err)
			}
		}
	}
	if got := keys(t, b.List(t.Context(), "missing/")); len(got) != 0 {
		t.Errorf("list: got %v, want nothing", got)
	}
}

func ranges(t *testing.T, b backend.Backend) {
	data := random(1, 1000)
	put(t, b, "k", data)
	for _, r := range []backend.Range{
		{}, {Len: 1}, {Len: 1000}, {Off: 1, Len: 1}, {Off: 500, Len: 499}, {Off: 500, Len: 500},
		{Off: 999, Len: 1}, {Off: 999}, {Off: 1},
	} {
		want := data[r.Off:]
		if r.Len > 0 {
			want = want[:r.Len]
		}
		wantBytes(t, b, "k", r, want)
	}
	wantBytes(t, b, "k", backend.Range{Off: 1000}, nil)
}

func rangesPastTheEnd(t *testing.T, b backend.Backend) {
	put(t, b, "ten", make([]byte, 10))
	put(t, b, "empty")
	for key, bad := range map[backend.Key][]backend.Range{
		"ten":   {{Len: 11}, {Off: 9, Len: 2}, {Off: 10, Len: 1}, {Off: 11}, {Off: 11, Len: 1}, {Off: 1 << 40, Len: 1 << 40}},
		"empty": {{Len: 1}, {Off: 1}},
	} {
		for _, r := range bad {
			data, err := b.Get(t.Context(), key, r)
			var short *backend.ShortError
			if !errors.As(err, &short) || data != nil {
				t.Errorf("get %s, %s: got %d bytes, %v, want a ShortError", key, r, len(data), err)
			}
		}
	}
}

func stat(t *testing.T, b backend.Backend) {
	put(t, b, "a/first", []byte("12345"))
	first, err := b.Stat(t.Context(), "a/first")
	if err != nil || first.Key != "a/first" || first.Size != 5 || first.ModTime.IsZero() {
		t.Fatalf("stat: got %+v, %v, want the key, size 5 and a time", first, err)
	}
	put(t, b, "a/second")
	second, err := b.Stat(t.Context(), "a/second")
	if err != nil || second.ModTime.Before(first.ModTime) {
		t.Errorf("stat of a later object: got %+v, %v, want a time not before %v", second, err, first.ModTime)
	}
	for info, err := range b.List(t.Context(), "a/first") {
		// Stores may tell the time in coarser steps in one of the two.
		apart := info.ModTime.Sub(first.ModTime).Abs()
		if err != nil || info.Key != first.Key || info.Size != first.Size || apart > 2*time.Second {
			t.Errorf("list: got %+v, %v, want %+v", info, err, first)
		}
	}
}

// awkward holds keys in the order of List: '-' and '.' sort before the slash,
// digits, '_' and letters behind it.
var awkward = []backend.Key{
	"a-b", "a-b-c/x", "a.b", "a/0", "a/b-c", "a/b.c", "a/b/-", "a/b/c", "a/b0", "a/b_c", "a/bb/c", "a0", "a_b", "aa/b", "b",
}

func listOrder(t *testing.T, b backend.Backend) {
	for _, i := range rand.Perm(len(awkward)) {
		put(t, b, awkward[i])
	}
	if got := keys(t, b.List(t.Context(), "")); !slices.Equal(got, awkward) {
		t.Errorf("list: got %v, want %v", got, awkward)
	}
}

func listPrefix(t *testing.T, b backend.Backend) {
	for _, key := range awkward {
		put(t, b, key)
	}
	for prefix, want := range map[backend.Prefix][]backend.Key{
		"a/":      awkward[3:11],
		"a":       awkward[:14],
		"a/b":     awkward[4:11],
		"a/b/":    awkward[6:8],
		"a/b/c":   {"a/b/c"},
		"a-":      {"a-b", "a-b-c/x"},
		"a-b-c/x": {"a-b-c/x"},
		"b":       {"b"},
		"b/":      nil,
		"c":       nil,
		"a/b/c/d": nil,
		"tm":      nil,
		"head":    nil,
	} {
		if got := keys(t, b.List(t.Context(), prefix)); !slices.Equal(got, want) {
			t.Errorf("list %q: got %v, want %v", prefix, got, want)
		}
	}
}

func listStops(t *testing.T, b backend.Backend) {
	for _, key := range awkward {
		put(t, b, key)
	}
	seen := 0
	for range b.List(t.Context(), "") {
		if seen++; seen == 5 {
			break
		}
	}
	if seen != 5 {
		t.Errorf("list: got %d objects, want to stop after 5", seen)
	}
}

func deletes(t *testing.T, b backend.Backend) {
	put(t, b, "a/b", []byte("x"))
	put(t, b, "a/c", []byte("y"))
	for _, key := range []backend.Key{"a/b", "a/b", "a/b/c", "never", "never/was", "a"} {
		if err := b.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %s: got %v, want no error", key, err)
		}
	}
	if _, err := b.Get(t.Context(), "a/b", backend.Range{}); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("get: got %v, want ErrNotExist", err)
	}
	if got := keys(t, b.List(t.Context(), "")); !slices.Equal(got, []backend.Key{"a/c"}) {
		t.Errorf("list: got %v, want a/c alone", got)
	}
}

func deletedMayReturn(t *testing.T, b backend.Backend) {
	put(t, b, "a/b", []byte("old"))
	if err := b.Delete(t.Context(), "a/b"); err != nil {
		t.Fatalf("delete: %v", err)
	}
	put(t, b, "a/b", []byte("new"))
	wantBytes(t, b, "a/b", backend.Range{}, []byte("new"))
}

func invalid(t *testing.T, b backend.Backend) {
	wantInvalid := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", what, err)
		}
	}
	for _, key := range []backend.Key{"", "/a", "a//b", "../x", "a/", ".a", "A", "head", "tmp/x"} {
		_, getErr := b.Get(t.Context(), key, backend.Range{})
		_, statErr := b.Stat(t.Context(), key)
		wantInvalid(fmt.Sprintf("put %q", key), b.Put(t.Context(), key))
		wantInvalid(fmt.Sprintf("get %q", key), getErr)
		wantInvalid(fmt.Sprintf("stat %q", key), statErr)
		wantInvalid(fmt.Sprintf("delete %q", key), b.Delete(t.Context(), key))
	}
	for _, prefix := range []backend.Prefix{"/", "../", "tmp/", "head/"} {
		wantInvalid(fmt.Sprintf("list %q", prefix), listError(b, t.Context(), prefix))
	}
	put(t, b, "k", make([]byte, 10))
	for _, r := range []backend.Range{{Off: -1}, {Len: -1}, {Off: 1 << 62, Len: 1 << 62}} {
		_, err := b.Get(t.Context(), "k", r)
		wantInvalid("get "+r.String(), err)
	}
}

func cancelled(t *testing.T, b backend.Backend) {
	put(t, b, "there", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := b.Get(ctx, "there", backend.Range{})
	_, statErr := b.Stat(ctx, "there")
	for op, err := range map[string]error{
		"put": b.Put(ctx, "new", []byte("x")), "get": getErr, "stat": statErr,
		"list": listError(b, ctx, ""), "delete": b.Delete(ctx, "there"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", op, err)
		}
	}
	if got := keys(t, b.List(t.Context(), "")); !slices.Equal(got, []backend.Key{"there"}) {
		t.Errorf("list afterwards: got %v, want what was there before", got)
	}
}

func noPart(t *testing.T, b backend.Backend) {
	data := random(3, 33<<20)
	want := sha256.Sum256(data)
	var group sync.WaitGroup
	var done atomic.Bool
	group.Go(func() {
		defer done.Store(true)
		if err := b.Put(t.Context(), "packs/big", data[:20<<20], data[20<<20:]); err != nil {
			t.Errorf("put: %v", err)
		}
	})
	for last := false; !last; {
		last = done.Load()
		info, err := b.Stat(t.Context(), "packs/big")
		if err != nil && !errors.Is(err, backend.ErrNotExist) || err == nil && info.Size != int64(len(data)) {
			t.Errorf("stat: got %d bytes, %v, want all or nothing", info.Size, err)
		}
		for info, err := range b.List(t.Context(), "") {
			if err != nil || info.Key != "packs/big" || info.Size != int64(len(data)) {
				t.Errorf("list: got %+v, %v, want all or nothing", info, err)
			}
		}
		got, err := b.Get(t.Context(), "packs/big", backend.Range{})
		if err != nil && !errors.Is(err, backend.ErrNotExist) || err == nil && sha256.Sum256(got) != want {
			t.Errorf("get: got %d bytes, %v, want all or nothing", len(got), err)
		}
		if last && err != nil {
			t.Errorf("get after put: got %v, want the object", err)
		}
	}
	group.Wait()
}

func large(t *testing.T, b backend.Backend) {
	data := random(2, 33<<20+7)
	put(t, b, "large", data[:1], data[1:9<<20], data[9<<20:])
	wantBytes(t, b, "large", backend.Range{}, data)
	wantBytes(t, b, "large", backend.Range{Off: 32 << 20}, data[32<<20:])
	wantBytes(t, b, "large", backend.Range{Off: 5, Len: 20 << 20}, data[5:20<<20+5])
}

func many(t *testing.T, b backend.Backend) {
	const count, width = 2000, 16
	want := make([]backend.Key, count)
	for i := range want {
		want[i] = backend.Key(fmt.Sprintf("packs/%02x/%06d", i*256/count, i))
	}
	var group sync.WaitGroup
	for w := range width {
		group.Go(func() {
			for i := w; i < count; i += width {
				if err := b.Put(t.Context(), want[i], []byte(want[i])); err != nil {
					t.Errorf("put %s: %v", want[i], err)
				}
			}
		})
	}
	group.Wait()
	if got := keys(t, b.List(t.Context(), "packs/")); !slices.Equal(got, want) {
		t.Errorf("list: got %d objects, want %d", len(got), count)
	}
	for _, i := range []int{0, 999, count - 1} {
		wantBytes(t, b, want[i], backend.Range{}, []byte(want[i]))
	}
}

func listError(b backend.Backend, ctx context.Context, prefix backend.Prefix) error {
	for _, err := range b.List(ctx, prefix) {
		if err != nil {
			return err
		}
	}
	return nil
}

func wantBytes(t *testing.T, b backend.Backend, key backend.Key, r backend.Range, want []byte) {
	t.Helper()
	got, err := b.Get(t.Context(), key, r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("get %s, %s: got %d bytes, %v, want %d exact bytes", key, r, len(got), err, len(want))
	}
}

// random returns n bytes that depend on seed alone.
func random(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	data := make([]byte, n)
	rand.NewChaCha8(key).Read(data)
	return data
}

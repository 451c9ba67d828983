package archive

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cairn/objects"
	"cairn/objects/wire"

	"github.com/zeebo/blake3"
)

var update = flag.Bool("update", false, "write the golden vectors anew")

// codec decodes a chunk of one sort and encodes the result again.
type codec func(plain []byte) (value any, again []byte, err error)

// codecs are those of the folders of testdata.
func codecs() map[string]codec {
	return map[string]codec{
		"leaf":  leafCodec,
		"inner": innerCodec,
		"list0": func(p []byte) (any, []byte, error) { return listCodec(p, 0) },
		"list1": func(p []byte) (any, []byte, error) { return listCodec(p, 1) },
	}
}

func leafCodec(plain []byte) (any, []byte, error) {
	var r leafReader
	if err := r.open(plain); err != nil {
		return nil, nil, err
	}
	var entries []*Entry
	var w leaf
	w.reset()
	for r.left > 0 {
		shared := r.step.path
		e, err := r.next()
		if err != nil {
			return nil, nil, err
		}
		if err := e.check(); err != nil {
			return nil, nil, fmt.Errorf("decoded and not encodable: %w", err)
		}
		w.add(e, commonPrefix(shared, e.Path))
		w.added(e)
		entries = append(entries, e.Clone())
	}
	return entries, w.plain(0), r.finish()
}

func innerCodec(plain []byte) (any, []byte, error) {
	level := uint8(wire.NewDecoder(plain).Uvarint())
	in, err := parseInner(plain, level)
	if err != nil {
		return nil, nil, err
	}
	type shown struct {
		Path          string
		ID            objects.ID
		Entries, Size uint64
	}
	list := []shown{}
	var w node
	w.reset()
	for r := in.items; r.left > 0; {
		it, path, err := r.next()
		if err != nil {
			return nil, nil, err
		}
		it.path = string(path)
		w.addItem(it)
		list = append(list, shown{it.path, it.id, it.entries, it.size})
	}
	return struct {
		Level uint8
		Items []shown
	}{level, list}, w.plain(int(level)), nil
}

func listCodec(plain []byte, level uint8) (any, []byte, error) {
	d := wire.NewDecoder(plain)
	n := sum(decodeList(d, level, itemsMax, nil))
	list, err := decodeExtentList(plain, Extent{Len: n}, level)
	return list, appendList(nil, list, level), err
}

// show returns v as JSON.
func show(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(plainly(reflect.ValueOf(v)), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// plainly returns v without fields that are zero: bytes in hexadecimal, and
// strings as Go quotes them, since names are bytes.
func plainly(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		return plainly(v.Elem())
	case reflect.String:
		return strings.Trim(strconv.QuoteToASCII(v.String()), `"`)
	case reflect.Slice, reflect.Array:
		list, hexed := []any{}, ""
		for i := range v.Len() {
			list = append(list, plainly(v.Index(i)))
			hexed += fmt.Sprintf("%02x", v.Index(i))
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return hexed
		}
		return list
	case reflect.Struct:
		fields := make(map[string]any)
		for f, value := range v.Fields() {
			if !value.IsZero() {
				fields[f.Name] = plainly(value)
			}
		}
		return fields
	}
	if typ, ok := v.Interface().(Type); ok {
		return string(rune(typ))
	}
	return v.Interface()
}

func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	for kind, decode := range codecs() {
		for _, file := range goldenFiles(t, kind, "accept") {
			want, err := os.ReadFile(strings.TrimSuffix(file, ".hex") + ".json")
			if err != nil {
				t.Fatal(err)
			}
			_, plain := readHex(t, file)
			v, again, err := decode(plain)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			if got := show(t, v); got != string(want) {
				t.Errorf("%s: got %s, want %s", file, got, want)
			}
			if !slices.Equal(again, plain) {
				t.Errorf("%s: encodes to %x", file, again)
			}
		}
		for _, file := range goldenFiles(t, kind, "reject") {
			reason, plain := readHex(t, file)
			if _, _, err := decode(plain); err == nil || err.Error() != reason {
				t.Errorf("%s: got %v, want %s", file, err, reason)
			}
		}
	}
}

func goldenFiles(t testing.TB, kind, verdict string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", kind, verdict, "*.hex"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden vectors of %s to %s: %v", kind, verdict, err)
	}
	return files
}

// readHex returns the comment in a file's first line, if any, and its bytes.
func readHex(t testing.TB, file string) (comment string, p []byte) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	if strings.HasPrefix(text, "# ") {
		comment, text, _ = strings.Cut(text[2:], "\n")
	}
	p, err = hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return comment, p
}

func writeGolden(t *testing.T) {
	t.Helper()
	for kind, decode := range codecs() {
		for name, p := range accepted(t)[kind] {
			v, _, err := decode(p)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			writeFile(t, filepath.Join("testdata", kind, "accept", name+".json"), show(t, v))
			writeFile(t, filepath.Join("testdata", kind, "accept", name+".hex"), lines(p))
		}
		for name, p := range rejected()[kind] {
			_, _, err := decode(p)
			if err == nil {
				t.Errorf("%s: accepted", name)
				continue
			}
			writeFile(t, filepath.Join("testdata", kind, "reject", name+".hex"), fmt.Sprintf("# %v\n%s", err, lines(p)))
		}
	}
}

// lines returns p in hexadecimal, 32 bytes a line.
func lines(p []byte) string {
	var b strings.Builder
	for line := range slices.Chunk(p, 32) {
		fmt.Fprintf(&b, "%x\n", line)
	}
	return b.String()
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func accepted(t *testing.T) map[string]map[string][]byte {
	rnd := rand.New(rand.NewPCG(1, 1))
	s := newStore()
	leaf := func(entries ...*Entry) []byte {
		root := write(t, entries, s.put)
		return s.chunks[root.ID]
	}
	inner := func() []byte {
		root := write(t, usr(2000), s.put)
		return s.chunks[root.ID]
	}
	g := generator{t, rnd, s.put}
	data, hole := g.data(1<<20), Extent{Len: 1 << 40, Hole: true}
	entry := func(path string, change func(e *Entry)) *Entry {
		e := &Entry{Path: path, Type: File, Mode: 0o644, ModTime: Time{1_700_000_000, 5}, ChangeTime: Time{1_700_000_000, 5}}
		change(e)
		e.Size = e.Content.Size()
		return e
	}
	spilled := Content{Form: Chunk, Extents: []Extent{g.data(5000)}}
	return map[string]map[string][]byte{
		"leaf": {
			"empty": leaf(),
			"types": leaf(
				entry("dev", func(e *Entry) { e.Type, e.Mode = Dir, 0o1777 }),
				entry("dev/null", func(e *Entry) { e.Type, e.Major, e.Minor = CharDevice, 1, 3 }),
				entry("dev/pipe", func(e *Entry) { e.Type = Fifo }),
				entry("dev/sda", func(e *Entry) { e.Type, e.Major, e.Minor = BlockDevice, 8, math.MaxUint32 }),
				entry("file", func(e *Entry) {}),
				entry("link", func(e *Entry) { e.Type, e.Mode, e.Target = Symlink, 0o777, "a\xff/b" })),
			"order": leaf(
				entry("a", func(e *Entry) { e.Type = Dir }),
				entry("a/b", func(e *Entry) {}), entry("a\x01", func(e *Entry) {}), entry("a\n", func(e *Entry) {}),
				entry("a-b", func(e *Entry) {}), entry("a.txt", func(e *Entry) {}), entry("a0", func(e *Entry) {}),
				entry("\xff\xfe", func(e *Entry) {})),
			"times": leaf(
				entry("a", func(e *Entry) { e.ModTime = Time{-1, 999_999_999} }),
				entry("b", func(e *Entry) {
					e.ModTime, e.ChangeTime = Time{math.MinInt64, 0}, Time{math.MaxInt64, 0}
					e.HasAccessTime, e.AccessTime = true, Time{10_000_000_000, 1}
					e.HasBirthTime, e.BirthTime = true, Time{-5_000_000_000, 2}
				})),
			"content": leaf(
				entry("chunk", func(e *Entry) { e.Content = Content{Form: Chunk, Extents: []Extent{data}} }),
				entry("extents", func(e *Entry) { e.Content = Content{Form: Extents, Extents: []Extent{hole, data, data, hole}} }),
				entry("hole", func(e *Entry) { e.Content = Content{Form: Extents, Extents: []Extent{hole}} }),
				entry("inline", func(e *Entry) { e.Content = InlineContent([]byte("hello")) }),
				entry("spilled", func(e *Entry) {
					e.Content = Content{Form: Extents, Level: 8, Extents: []Extent{{Len: 1 << 50, ID: data.ID}}}
				})),
			"attributes": leaf(
				entry("a", func(e *Entry) {
					e.Owner = Owner{UID: math.MaxUint32, GID: 5, User: "u", Group: "g"}
					e.HasLink, e.Link = true, Link(data.ID[:16])
					e.Racy, e.Partial, e.Changed = true, true, true
					e.Xattrs = []Xattr{{Name: "user.a", Value: []byte{}}, {Name: "user.b", Spilled: &spilled}}
					e.Attrs = []Attr{{Tag: 5, Value: []byte{1}}, {Tag: 1 << 40, Value: []byte("later")}}
				})),
		},
		"inner": {"leaves": inner()},
		"list0": {"data-and-holes": appendList(nil, []Extent{data, hole, data}, 0)},
		"list1": {"lists": appendList(nil, []Extent{data, data}, 1)},
	}
}

// rejected returns inputs that differ from good ones in one thing.
func rejected() map[string]map[string][]byte {
	// A file without content: shared, suffix, type, flags, and the rest.
	type raw struct {
		shared uint64
		suffix string
		typ    byte
		flags  flags
		rest   string
	}
	const (
		when  = "\x02\x01\x00\x00\x00" // second 1, nanosecond 1
		first = "\x00" + "\x00\x00\x00\x00" + when + "\x07"
		same  = when + "\x07"
		empty = "\x00\x00" // size, form
	)
	const alike = sameMode | sameOwner | ctimeIsMtime
	node := func(level byte, items ...raw) []byte {
		b := []byte{level, byte(len(items))}
		for _, r := range items {
			b = wire.AppendUvarint(b, r.shared)
			b = wire.AppendBytes(b, r.suffix)
			b = append(b, r.typ)
			b = wire.AppendUvarint(b, uint64(r.flags))
			b = append(b, r.rest...)
		}
		return b
	}
	good := raw{0, "dir", 'd', ctimeIsMtime, first}
	after := func(shared uint64, suffix string) []byte {
		return node(0, good, raw{shared, suffix, 'f', alike, same + empty})
	}
	only := func(typ byte, f flags, rest string) []byte { return node(0, raw{0, "a", typ, f | ctimeIsMtime, rest}) }
	id := strings.Repeat("\x11", 32)
	inner := func(level byte, items ...item) []byte {
		b := []byte{level, byte(len(items))}
		for _, it := range items {
			b = wire.AppendBytes(append(b, 0), it.path)
			b = append(b, id...)
			b = wire.AppendUvarint(wire.AppendUvarint(b, it.entries), it.size)
		}
		return b
	}
	chunk := Extent{Len: 5, ID: objects.ID{1}}
	hole := Extent{Len: 5, Hole: true}
	return map[string]map[string][]byte{
		"leaf": {
			"nothing":              {},
			"level":                node(17),
			"inner":                node(1, good, good, good),
			"count":                {0, 200, 1},
			"trailing":             append(after(3, "z"), 0),
			"cut-short":            after(3, "z")[:30],
			"same-path":            after(3, ""),
			"prefix-path":          after(1, ""),
			"order":                after(1, "a"),
			"order-slash":          node(0, raw{0, "a.b", 'f', ctimeIsMtime, first + empty}, raw{1, "/b", 'f', alike, same + empty}),
			"shared-too-little":    after(0, "dir/a"),
			"shared-too-much":      after(4, "a"),
			"parent-missing":       after(3, "/a/b"),
			"parent-not-directory": node(0, raw{0, "a", 'f', ctimeIsMtime, first + empty}, raw{1, "/b", 'f', alike, same + empty}),
			"dot":                  after(3, "/."),
			"dotdot":               after(3, "/.."),
			"slash-at-end":         after(3, "/"),
			"slashes":              after(3, "//a"),
			"nul":                  after(3, "/a\x00"),
			"absolute":             node(0, raw{0, "/a", 'f', ctimeIsMtime, first + empty}),
			"long-path":            node(0, raw{0, strings.Repeat("a", 65536), 'f', ctimeIsMtime, first + empty}),
			"type":                 only('s', 0, first+empty),
			"flag":                 only('f', flagsEnd, first+empty),
			"same-mode-first":      only('f', sameMode, first[1:]+empty),
			"same-owner-first":     only('f', sameOwner, first[:1]+first[5:]+empty),
			"same-mode-not-set":    node(0, good, raw{3, "a", 'f', sameOwner | ctimeIsMtime, "\x00" + same + empty}),
			"same-owner-not-set":   node(0, good, raw{3, "a", 'f', sameMode | ctimeIsMtime, "\x00\x00\x00\x00" + same + empty}),
			"same-ctime-not-set":   node(0, raw{0, "a", 'f', 0, first[:5] + when + when + "\x07" + empty}),
			"mode":                 only('f', 0, "\x80\x20"+first[1:]+empty),
			"uid":                  only('f', 0, "\x00\x80\x80\x80\x80\x10"+first[2:]+empty),
			"varint":               only('f', 0, "\x80\x00"+first[1:]+empty),
			"nanoseconds":          only('f', 0, first[:6]+"\x00\xca\x9a\x3b"+"\x07"+empty),
			"xattrs-empty":         only('f', hasXattrs, first+"\x00"+empty),
			"xattrs-order":         only('f', hasXattrs, first+"\x02"+"\x01b\x00\x00"+"\x01a\x00\x00"+empty),
			"xattrs-twice":         only('f', hasXattrs, first+"\x02"+"\x01a\x00\x00"+"\x01a\x00\x00"+empty),
			"xattr-form":           only('f', hasXattrs, first+"\x01"+"\x01a\x02\x00"+empty),
			"xattr-long":           only('f', hasXattrs, first+"\x01"+"\x01a\x00\x81\x20"+strings.Repeat("x", 4097)+empty),
			"xattr-spilled-small":  only('f', hasXattrs, first+"\x01"+"\x01a\x01\x80\x20\x01"+id+empty),
			"attrs-empty":          only('f', hasAttrs, first+"\x00"+empty),
			"attrs-order":          only('f', hasAttrs, first+"\x02"+"\x02\x00"+"\x02\x00"+empty),
			"inline-long":          only('f', 0, first+"\x81\x01\x00"+strings.Repeat("x", 129)),
			"content-form":         only('f', 0, first+"\x01\x03x"),
			"chunk-empty":          only('f', 0, first+"\x00\x01"+id),
			"chunk-long":           only('f', 0, first+"\x81\x80\x80\x08\x01"+id),
			"extents-none":         only('f', 0, first+"\x00\x02\x00\x00"),
			"extents-one-chunk":    only('f', 0, first+"\x05\x02\x00\x01\x0a"+id),
			"extents-size":         only('f', 0, first+"\x05\x02\x00\x01\x0d"),
			"extents-level":        only('f', 0, first+"\x05\x02\x09\x01\x05"+id),
			"extents-holes":        only('f', 0, first+"\x05\x02\x00\x02\x05\x07"),
			"extents-no-length":    only('f', 0, first+"\x05\x02\x00\x02\x0b\x00"+id),
			"extents-many":         only('f', 0, first+"\x41\x02\x00\x41"+strings.Repeat("\x02"+id, 65)),
			"minor":                only('c', 0, first+"\x00\x80\x80\x80\x80\x10"),
		},
		"inner": {
			"empty":      inner(1),
			"level":      inner(17, item{path: "a", entries: 1}),
			"no-entries": inner(1, item{path: "a"}),
			"order":      inner(1, item{path: "b", entries: 1}, item{path: "a", entries: 1}),
			"same-path":  inner(1, item{path: "b", entries: 1}, item{path: "b", entries: 1}),
			"shared":     inner(1, item{path: "aa", entries: 1}, item{path: "ab", entries: 1}),
			"no-path":    inner(1, item{path: "", entries: 1}),
			"overflow":   inner(1, item{path: "a", entries: 1, size: math.MaxUint64}, item{path: "b", entries: 1, size: 1}),
			"trailing":   append(inner(1, item{path: "a", entries: 1}), 0),
			"count":      {1, 0xff, 0xff, 0x03},
		},
		"list0": {
			"nothing":   {},
			"holes":     appendList(nil, []Extent{hole, hole}, 0),
			"no-length": appendList(nil, []Extent{chunk, {}}, 0),
			"chunk":     appendList(nil, []Extent{{Len: chunkMax + 1}}, 0),
			"many":      appendList(nil, slices.Repeat([]Extent{chunk}, 1025), 0),
			"trailing":  append(appendList(nil, []Extent{chunk}, 0), 0),
			"cut-short": appendList(nil, []Extent{chunk}, 0)[:20],
		},
		"list1": {
			"no-length": appendList(nil, []Extent{chunk, {}}, 1),
			"overflow":  appendList(nil, []Extent{{Len: math.MaxUint64}, {Len: 1}}, 1),
		},
	}
}

// TestGoldenCuts pins where nodes end: a second implementation that agrees on
// these agrees on the tree.
func TestGoldenCuts(t *testing.T) {
	type cut struct {
		Seed  uint64
		Level int
		Path  string
		Hash  uint64 // h(level, path) of FORMAT.md §8.5
	}
	file := filepath.Join("testdata", "cuts.json")
	if *update {
		var cuts []cut
		for _, seed := range []uint64{0, 1, testSeed, math.MaxUint64} {
			for level, path := range []string{"a", "usr/lib", "\u00fc \n", strings.Repeat("long/", 100) + "path"} {
				cuts = append(cuts, cut{seed, level, path, cutHash(seed, level, path)})
			}
		}
		text, err := json.MarshalIndent(cuts, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, string(text)+"\n")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cuts []cut
	if err := json.Unmarshal(text, &cuts); err != nil {
		t.Fatal(err)
	}
	for _, c := range cuts {
		if got := cutHash(c.Seed, c.Level, c.Path); got != c.Hash {
			t.Errorf("%+v: got %d", c, got)
		}
	}
}

// TestGoldenTree pins the bytes of a whole tree, named by BLAKE3 without a key.
func TestGoldenTree(t *testing.T) {
	t.Parallel()
	root := write(t, usr(30_000), func(p []byte) (objects.ID, error) { return blake3.Sum256(p), nil })
	const want = "e5b796197a0a1fe2d381c777d78526a292c99624c36f3df6714873a0d747d517"
	if got := root.ID.String(); got != want || root.Level != 2 {
		t.Errorf("got %s at level %d, want %s at level 2", got, root.Level, want)
	}
}

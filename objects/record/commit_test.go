package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

// testPack returns a pack whose header is inline and n+40 bytes long.
func testPack(b byte, n int) Pack {
	header := bytes.Repeat([]byte{b}, preambleLen+n)
	return Pack{
		ID: objects.ID{b}, Kind: objects.Data, Length: 16 << 20,
		HeaderLen: uint32(n), HeaderHash: hash(header), Header: header,
	}
}

func bare(p Pack) Pack {
	p.Header = nil
	return p
}

func testArchive(name string) Archive {
	return Archive{
		Kind: Full, Name: name, Host: "mill", User: "ada", Series: "home", Comment: "before the move", Version: "1.0",
		Tags: []string{"a", "b"}, Roots: []Root{{Source: "/home/ada", Path: "home/ada"}, {Source: "/etc", Path: "etc"}},
		Start: testTime, End: testTime.Add(time.Minute), Zone: -3600,
		Tree: objects.ID{0xaa}, Level: 2,
		Entries: 1000, Files: 900, Dirs: 90, Size: 1 << 40, NewData: 1 << 30, NewStored: 1 << 29, Warnings: 1,
	}
}

// testCommit has every section.
func testCommit() *Commit {
	return &Commit{
		Generation: 64, Prev: objects.ID{63}, Made: testTime, Host: "mill", User: "ada",
		Packs:     []Pack{testPack(1, 49), bare(testPack(2, 1000))},
		Condemned: []objects.ID{{3}, {4}},
		Archives:  []Archive{testArchive("monday"), {Kind: Checkpoint, Start: testTime, End: testTime}},
		Removed:   []objects.ID{{5}},
		Settings:  []Setting{{"parity", []byte{5}}, {"writers", []byte("parallel")}},
		Snapshot: &Snapshot{
			Packs:     []Pack{bare(testPack(1, 49)), bare(testPack(2, 1000))},
			Condemned: []objects.ID{{3}, {4}},
			Archives:  []Archive{testArchive("monday")},
			Settings:  []Setting{{"empty", []byte{}}, {"parity", []byte{5}}},
		},
	}
}

// laterCommit has what testCommit cannot have, or has not.
func laterCommit() *Commit {
	return &Commit{
		Generation: 192, Prev: objects.ID{191}, Made: testTime, Bundles: []objects.ID{{6}, {5}},
		Snapshot: &Snapshot{Milestones: []Milestone{{64, objects.ID{64}}, {128, objects.ID{128}}}},
	}
}

func firstCommit() *Commit { return &Commit{Generation: 1, Made: testTime} }

func encodeCommit(t testing.TB, k *crypt.Keys, c *Commit) (objects.ID, []byte) {
	t.Helper()
	id, stored, err := Encode(k, c, fixedRandom("commit"))
	if err != nil {
		t.Fatal(err)
	}
	return id, stored
}

// sealCommit wraps the plaintext of a box, legal or not, as Encode would.
func sealCommit(t testing.TB, k *crypt.Keys, generation uint64, plaintext []byte) []byte {
	t.Helper()
	body := wire.AppendU64(appendPreface(nil, commitMagic, k.Origin()), generation)
	body, err := k.Seal(body, crypt.Record, "commit", commitExtra(k, generation), plaintext, fixedRandom("commit"))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestCommitRoundTrip(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	empty := firstCommit()
	empty.Snapshot = &Snapshot{}
	for _, c := range []*Commit{testCommit(), laterCommit(), firstCommit(), empty} {
		id, stored := encodeCommit(t, k, c)
		got, half, err := DecodeCommit(k, id, stored)
		if err != nil || half || !reflect.DeepEqual(got, c) {
			t.Errorf("got %+v, %v, %v, want %+v", got, half, err, c)
		}
	}
}

// TestRandomCommits takes records of every shape through both directions.
func TestRandomCommits(t *testing.T) {
	t.Parallel()
	k, rng, random := testKeys(t), rand.New(fixedRandom("shapes")), fixedRandom("seals")
	for range 200 {
		c := randomCommit(rng)
		id, stored, err := Encode(k, c, random)
		if err != nil {
			t.Fatal(err)
		}
		got, half, err := DecodeCommit(k, id, stored)
		if err != nil || half || !reflect.DeepEqual(got, c) {
			t.Fatalf("got %+v, %v, %v, want %+v", got, half, err, c)
		}
	}
}

func randomCommit(rng *rand.Rand) *Commit {
	c := &Commit{Generation: 2 + rng.Uint64N(1e12-2), Prev: randomID(rng), Made: randomTime(rng), Host: randomText(rng), User: randomText(rng)}
	c.Packs = some(rng, randomPack)
	c.Condemned = some(rng, randomID)
	c.Archives = some(rng, randomArchive)
	c.Removed = some(rng, randomID)
	c.Settings = randomSettings(rng)
	if c.Generation%SnapshotEvery == 0 || rng.IntN(4) == 0 {
		c.Snapshot = &Snapshot{Condemned: some(rng, randomID), Archives: some(rng, randomArchive), Settings: randomSettings(rng)}
		for _, p := range some(rng, randomPack) {
			c.Snapshot.Packs = append(c.Snapshot.Packs, bare(p))
		}
		for gen := c.Generation - c.Generation%SnapshotEvery; gen > 3*SnapshotEvery && len(c.Snapshot.Milestones) < rng.IntN(4); gen -= SnapshotEvery {
			earlier := Milestone{Generation: gen - SnapshotEvery, Commit: randomID(rng)}
			c.Snapshot.Milestones = append([]Milestone{earlier}, c.Snapshot.Milestones...)
		}
	}
	c.Bundles = some(rng, randomID)
	return c
}

func some[T any](rng *rand.Rand, one func(*rand.Rand) T) (items []T) {
	for range rng.IntN(4) {
		items = append(items, one(rng))
	}
	return items
}

func randomID(rng *rand.Rand) (id objects.ID) {
	for i := range id {
		id[i] = byte(rng.Uint32())
	}
	return id
}

func randomText(rng *rand.Rand) string {
	id := randomID(rng)
	return string(id[:rng.IntN(len(id))])
}

func randomTime(rng *rand.Rand) time.Time {
	return time.Unix(int64(rng.Uint64()), rng.Int64N(1e9)).UTC()
}

func randomPack(rng *rand.Rand) Pack {
	p := testPack(byte(rng.Uint32()), minHeader+rng.IntN(1000))
	p.ID, p.Kind = randomID(rng), objects.Kind(1+rng.IntN(2))
	p.Length = uint64(p.HeaderLen) + 2*preambleLen + minFrame + rng.Uint64N(1<<20)
	if rng.IntN(2) == 0 {
		return bare(p)
	}
	return p
}

func randomArchive(rng *rand.Rand) Archive {
	a := Archive{Kind: ArchiveKind(1 + rng.IntN(2)), Start: randomTime(rng), End: randomTime(rng), Zone: int32(rng.Uint32()), Tree: randomID(rng), Level: uint8(rng.IntN(17))}
	for _, s := range []*string{&a.Name, &a.Host, &a.User, &a.Series, &a.Comment, &a.Version} {
		*s = randomText(rng)
	}
	for _, n := range []*uint64{&a.Entries, &a.Files, &a.Dirs, &a.Size, &a.NewData, &a.NewStored, &a.Warnings} {
		*n = rng.Uint64() >> rng.IntN(64)
	}
	a.Tags = some(rng, randomText)
	a.Roots = some(rng, func(rng *rand.Rand) Root { return Root{randomText(rng), randomText(rng)} })
	return a
}

func randomSettings(rng *rand.Rand) (settings []Setting) {
	for i := range rng.IntN(4) {
		settings = append(settings, Setting{fmt.Sprint(i, randomText(rng)), []byte(randomText(rng))})
	}
	return settings
}

func TestEncodeRejects(t *testing.T) {
	t.Parallel()
	for reason, change := range map[string]func(*Commit){
		"generation 0":               func(c *Commit) { c.Generation = 0 },
		"generation of 13 digits":    func(c *Commit) { c.Generation = 1e12 },
		"nothing before it":          func(c *Commit) { c.Prev = objects.ID{} },
		"something before the first": func(c *Commit) { c.Generation = 1 },
		"no snapshot at 64":          func(c *Commit) { c.Snapshot = nil },
		"pack of no kind":            func(c *Commit) { c.Packs[0].Kind = 0 },
		"pack longer than 64 MiB":    func(c *Commit) { c.Packs[0].Length = 64<<20 + 1 },
		"pack shorter than its parts": func(c *Commit) {
			c.Packs[1].Length = uint64(c.Packs[1].HeaderLen) + 2*preambleLen + minFrame - 1
		},
		"header of 48 bytes":      func(c *Commit) { c.Packs[1].HeaderLen = 48 },
		"header above 16 MiB":     func(c *Commit) { c.Packs[1].HeaderLen, c.Packs[1].Length = 16<<20+1, 64<<20 },
		"header of other length":  func(c *Commit) { c.Packs[0].HeaderLen++ },
		"header of other hash":    func(c *Commit) { c.Packs[0].HeaderHash[0]++ },
		"headers above 64 KiB":    func(c *Commit) { c.Packs = []Pack{testPack(1, 32<<10), testPack(2, 32<<10)} },
		"header in a snapshot":    func(c *Commit) { c.Snapshot.Packs[0] = testPack(1, 49) },
		"archive of no kind":      func(c *Commit) { c.Archives[0].Kind = 0 },
		"archive of unknown kind": func(c *Commit) { c.Archives[0].Kind = 3 },
		"archive of level 17":     func(c *Commit) { c.Archives[0].Level = 17 },
		"settings out of order":   func(c *Commit) { c.Settings[0], c.Settings[1] = c.Settings[1], c.Settings[0] },
		"one setting twice":       func(c *Commit) { c.Snapshot.Settings[1].Name = "empty" },
	} {
		c := testCommit()
		change(c)
		if _, _, err := Encode(testKeys(t), c, fixedRandom("commit")); err == nil {
			t.Errorf("%s: Encode accepts it", reason)
		}
	}
	if _, _, err := Encode(testKeys(t), testCommit(), strings.NewReader("short")); err == nil {
		t.Error("Encode goes on without randomness")
	}
}

// TestCommitFlips flips every bit: of one copy, which the other heals; of
// both; and of both under the name that they have then.
func TestCommitFlips(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	id, stored := encodeCommit(t, k, firstCommit())
	for bit := range 8 * len(stored) {
		got, half, err := DecodeCommit(k, id, flip(stored, bit))
		if err != nil || !half || !reflect.DeepEqual(got, firstCommit()) {
			t.Errorf("byte %d, bit %d: %+v, %v, %v, want the other copy", bit/8, bit%8, got, half, err)
		}
	}
	body := stored[:len(stored)/2]
	for bit := range 8 * len(body) {
		flipped := flip(body, bit)
		if c, _, err := DecodeCommit(k, id, objects.Twice(flipped)); err == nil {
			t.Errorf("byte %d, bit %d of both: %+v, want an error", bit/8, bit%8, c)
		}
		if c, _, err := DecodeCommit(k, hash(flipped), objects.Twice(flipped)); err == nil {
			t.Errorf("byte %d, bit %d renamed: %+v, want an error", bit/8, bit%8, c)
		}
	}
}

// payloadWith returns the payload of an empty commit with these sections.
func payloadWith(sections ...string) []byte {
	b := appendPayload(nil, firstCommit())
	b = wire.AppendUvarint(b[:len(b)-1], uint64(len(sections)))
	for _, s := range sections {
		b = wire.AppendBytes(append(b, s[0]), s[1:])
	}
	return b
}

func TestCommitGolden(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	var vectors []vector
	add := func(name, class string, body []byte, decoded *Commit) {
		v := vector{Name: name, ID: hash(body).String(), Stored: hex.EncodeToString(objects.Twice(body)), Error: class}
		if decoded != nil {
			v.Decoded = describe(reflect.ValueOf(decoded))
		}
		vectors = append(vectors, v)
	}
	// Uncompressed, so that the vectors do not hang on a version of zstd.
	plain := func(c *Commit) []byte { return append([]byte{stored}, appendPayload(nil, c)...) }
	add("first commit", "", sealCommit(t, k, 1, plain(firstCommit())), firstCommit())
	add("every section", "", sealCommit(t, k, 64, plain(testCommit())), testCommit())
	add("bundles, and snapshots before", "", sealCommit(t, k, 192, plain(laterCommit())), laterCommit())
	packed := rawFrame(appendPayload(nil, firstCommit()))
	add("compressed", "", sealCommit(t, k, 1, append([]byte{zstded}, packed...)), firstCommit())

	first := sealCommit(t, k, 1, plain(firstCommit()))
	add("magic", "damaged", edit(first, 0, "C"), nil)
	add("version 0", "damaged", edit(first, 8, "\x00"), nil)
	add("version 2", "newer", edit(first, 8, "\x02"), nil)
	add("unknown AEAD", "damaged", edit(first, 10, "\x03"), nil)
	add("reserved byte set", "damaged", edit(first, 11, "\x01"), nil)
	add("of an epoch after a rotation", "no epoch", sealCommit(t, rotatedKeys(t), 1, plain(firstCommit())), nil)
	add("foreign repository", "damaged", sealCommit(t, otherKeys(t), 1, plain(firstCommit())), nil)
	add("other generation outside", "damaged", edit(first, 16, "\x02"), nil)
	add("other generation inside", "damaged", sealCommit(t, k, 2, plain(firstCommit())), nil)
	add("flipped bit in the box", "damaged", flip(first, 500), nil)
	add("truncated", "damaged", first[:len(first)-1], nil)
	add("no box", "damaged", first[:commitClear], nil)
	add("trailing byte", "damaged", append(bytes.Clone(first), 0), nil)
	vectors = append(vectors,
		vector{Name: "another's name", ID: objects.ID{1}.String(), Stored: hex.EncodeToString(objects.Twice(first)), Error: "damaged"},
		vector{Name: "only once", ID: hash(first).String(), Stored: hex.EncodeToString(first), Error: "damaged"},
		vector{Name: "first copy damaged", ID: hash(first).String(), Stored: hex.EncodeToString(flip(objects.Twice(first), 9)), Decoded: describe(reflect.ValueOf(firstCommit()))},
		vector{Name: "version 2 in another layout", ID: objects.ID{1}.String(), Stored: hex.EncodeToString(edit(first, 8, "\x02")), Error: "newer"},
	)
	payload := appendPayload(nil, firstCommit())
	id, list := strings.Repeat("\x07", 32), "\x01"
	for _, r := range []struct {
		name, class string
		plaintext   []byte
	}{
		{"empty plaintext", "damaged", nil},
		{"unknown compression", "damaged", append([]byte{2}, payload...)},
		{"not a zstd frame", "damaged", append([]byte{zstded}, payload...)},
		{"zstd frame that claims 1 GiB", "damaged", mustHex(t, "0128b52ffda00000004001000061")},
		{"two zstd frames", "damaged", append(append([]byte{zstded}, packed...), packed...)},
		{"zstd frame and a skippable one", "damaged", append(append([]byte{zstded}, packed...), mustHex(t, "502a4d1800000000")...)},
		{"zstd frame with a trailing byte", "damaged", append(append([]byte{zstded}, packed...), 0)},
		{"payload truncated", "damaged", append([]byte{stored}, payload[:len(payload)-1]...)},
		{"trailing byte in the payload", "damaged", append(append([]byte{stored}, payload...), 0)},
		{"varint not in its shortest form", "damaged", append([]byte{stored, 0x81, 0}, payload[1:]...)},
		{"generation 0", "damaged", append([]byte{stored, 0}, payload[1:]...)},
		{"generation 2 without one before", "damaged", append([]byte{stored, 2}, payload[1:]...)},
		{"section of no bytes", "damaged", payloadSections("\x02")},
		{"section of no items", "damaged", payloadSections("\x02\x00")},
		{"sections out of order", "damaged", payloadSections("\x04"+list+id, "\x02"+list+id)},
		{"section twice", "damaged", payloadSections("\x02"+list+id, "\x02"+list+id)},
		{"list longer than its section", "damaged", payloadSections("\x02\x02" + id)},
		{"trailing byte in a section", "damaged", payloadSections("\x02" + list + id + "\x00")},
		{"more sections than bytes", "damaged", append(append([]byte{stored}, payload[:len(payload)-1]...), 0xff, 0x7f)},
		{"signature", "newer", payloadSections("\x07sig")},
		{"unknown section", "newer", payloadSections("\x02"+list+id, "\x09later")},
		{"unknown section in a snapshot", "newer", payloadSections("\x06\x01\x09\x05later")},
		{"archives removed in a snapshot", "newer", payloadSections("\x06\x01\x04\x21\x01" + id)},
		{"settings out of order", "damaged", payloadSections("\x05\x02\x01b\x00\x01a\x00")},
		{"no bundles", "damaged", payloadSections("\x08\x00")},
		{"earlier snapshots of generation 65", "damaged", payloadSections("\x06\x01\x08\x22\x01\x41" + id)},
		{"earlier snapshots out of order", "damaged", payloadSections("\x06\x01\x08\x45\x02\x80\x01" + id + "\x40" + id)},
		{"an earlier snapshot that is later", "damaged", payloadSections("\x06\x01\x08\x22\x01\x40" + id)},
		{"setting twice", "damaged", payloadSections("\x05\x02\x01a\x00\x01a\x00")},
		{"pack of no kind", "damaged", payloadSections("\x01\x01" + id + "\x00\xff\x7f\x64" + id + "\x00")},
		{"pack shorter than its header", "damaged", payloadSections("\x01\x01" + id + "\x01\x64\x64" + id + "\x00")},
		{"pack header of another hash", "damaged", payloadSections("\x01\x01" + id + "\x01\xff\x7f\x31" + id + "\x59" + strings.Repeat("h", 0x59))},
		{"archive of unknown kind", "damaged", payloadSections("\x03\x01\x03" + strings.Repeat("\x00", 60))},
	} {
		add(r.name, r.class, sealCommit(t, k, 1, r.plaintext), nil)
	}
	checkVectors(t, "commit.json", vectors, func(id objects.ID, stored []byte) (any, error) {
		c, _, err := DecodeCommit(k, id, stored)
		return c, err
	})
}

// rawFrame returns p as a zstd frame that does not compress it, which every
// version of zstd reads and none has a choice in writing.
func rawFrame(p []byte) []byte {
	block := uint32(len(p))<<3 | 1 // raw, the last one
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, byte(len(p)), byte(block), byte(block >> 8), byte(block >> 16)}
	return append(frame, p...)
}

// payloadSections is payloadWith as the plaintext of a box.
func payloadSections(sections ...string) []byte {
	return append([]byte{stored}, payloadWith(sections...)...)
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestMinimalSizes: what the decoder takes for the least that an item can
// be, so that it never refuses a list that fits.
func TestMinimalSizes(t *testing.T) {
	t.Parallel()
	zero := time.Unix(0, 0)
	for name, c := range map[string]struct{ got, want int }{
		"archive":     {len(appendArchive(nil, &Archive{Start: zero, End: zero})), minArchiveSize},
		"pack":        {len(appendPack(nil, &Pack{})), minPackEntry},
		"participant": {len(appendParticipant(nil, &Participant{Since: zero})), minParticipant},
		"setting":     {len(appendSetting(nil, &Setting{})), 2},
	} {
		if c.got != c.want {
			t.Errorf("the least %s has %d bytes, the decoder expects %d", name, c.got, c.want)
		}
	}
}

func TestCompress(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 10_000)
	fixedRandom("noise").Read(noise)
	for _, payload := range [][]byte{noise, make([]byte, 1<<20), []byte("x")} {
		plaintext, err := compress(payload)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decompress(plaintext); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("%d bytes come back as %d, %v", len(payload), len(got), err)
		}
		if len(plaintext) > len(payload)+1 {
			t.Errorf("%d bytes grew to %d", len(payload), len(plaintext))
		}
	}
}

// A stream states no size: it must come out whole, or not at all.
func TestDecompressStream(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteByte(zstded)
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	payload := bytes.Repeat([]byte("cairn "), 1<<20)
	if _, err := w.Write(payload); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := decompress(b.Bytes()); err != nil || !bytes.Equal(got, payload) {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(payload))
	}
	twice := append(bytes.Clone(b.Bytes()), b.Bytes()[1:]...)
	if got, err := decompress(twice); err == nil {
		t.Errorf("two frames are taken for one of %d bytes", len(got))
	}
}

func TestCommitKey(t *testing.T) {
	t.Parallel()
	id := objects.ID{0xab, 31: 1}
	key := CommitKey(42, id)
	if want := "commits/000000000042-" + id.String(); key != want {
		t.Errorf("CommitKey = %q, want %q", key, want)
	}
	gen, got, err := ParseCommitKey(key)
	if err != nil || gen != 42 || got != id {
		t.Errorf("ParseCommitKey(%q) = %d, %v, %v", key, gen, got, err)
	}
	for _, bad := range []string{
		"", "commits/", "commits/-", key[1:], key + "0", key[:len(key)-1],
		"commits/42-" + id.String(), "commits/0000000000042-" + id.String(), "commits/+00000000042-" + id.String(),
		"commits/00000000004x-" + id.String(), strings.ToUpper(key), "packs/000000000042-" + id.String(),
	} {
		if gen, id, err := ParseCommitKey(bad); err == nil {
			t.Errorf("ParseCommitKey(%q) = %d, %v, want an error", bad, gen, id)
		}
	}
}

func FuzzParseCommitKey(f *testing.F) {
	f.Add(CommitKey(1, objects.ID{1}))
	f.Fuzz(func(t *testing.T, key string) {
		if gen, id, err := ParseCommitKey(key); err == nil && CommitKey(gen, id) != key {
			t.Errorf("read %q, which is written %q", key, CommitKey(gen, id))
		}
	})
}

func FuzzDecodePayload(f *testing.F) {
	f.Add(appendPayload(nil, testCommit()))
	f.Add(appendPayload(nil, firstCommit()))
	f.Add(payloadWith("\x06\x00"))
	f.Add(payloadWith("\x07sig"))
	f.Fuzz(func(t *testing.T, p []byte) {
		c, err := decodePayload(p)
		if err == nil && !bytes.Equal(appendPayload(nil, c), p) {
			t.Errorf("read % x, which is written % x", p, appendPayload(nil, c))
		}
	})
}

func FuzzDecompress(f *testing.F) {
	plaintext, err := compress(bytes.Repeat([]byte("cairn"), 1000))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plaintext)
	f.Add([]byte{stored, 1, 2})
	f.Add(mustHex(f, "0128b52ffda00000004001000061"))
	f.Fuzz(func(t *testing.T, p []byte) {
		payload, err := decompress(p)
		if most := (len(p)/4 + 1) * zstdBlock; err == nil && len(payload) > most {
			t.Errorf("%d bytes grew to %d, more than %d", len(p), len(payload), most)
		}
	})
}

func FuzzDecodeCommit(f *testing.F) {
	k := testKeys(f)
	_, stored := encodeCommit(f, k, testCommit())
	f.Add(stored[:len(stored)/2])
	f.Add([]byte(commitMagic + "\x02\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, half, err := DecodeCommit(k, hash(body), objects.Twice(body))
		if err == nil && (half || !reflect.DeepEqual(c, testCommit())) {
			t.Errorf("forged %+v", c)
		}
		if _, _, err := DecodeCommit(k, objects.ID{}, body); err == nil {
			t.Error("a record is taken under a name that is not its own")
		} else if !objects.IsCorrupt(err) && !errors.Is(err, objects.ErrNewer) {
			t.Errorf("%v, want damage", err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	k, random, c := testKeys(b), fixedRandom("bench"), testCommit()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Encode(k, c, random); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeCommit(b *testing.B) {
	k := testKeys(b)
	id, stored := encodeCommit(b, k, testCommit())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := DecodeCommit(k, id, stored); err != nil {
			b.Fatal(err)
		}
	}
}

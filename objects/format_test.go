package objects_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
)

var update = flag.Bool("update", false, "write the example into FORMAT.md")

const (
	exampleBegin = "<!-- example: begin -->\n```\n"
	exampleEnd   = "```\n<!-- example: end -->"
)

// TestExample holds the example of FORMAT.md §11 to the code.
func TestExample(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), exampleBegin)
	if !ok {
		t.Fatal("FORMAT.md has no example")
	}
	got, after, _ := strings.Cut(rest, exampleEnd)
	want := example(t)
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("the example of FORMAT.md is not what the code writes; with -update it becomes:\n%s", want)
	}
	if err := os.WriteFile("FORMAT.md", []byte(before+exampleBegin+want+exampleEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// counting yields 0, 1, 2, … as random bytes, so that a reader of the page can
// follow them.
type counting struct{ next byte }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.next
		c.next++
	}
	return len(p), nil
}

// sheet is the example as it grows.
type sheet struct {
	t *testing.T
	strings.Builder
}

func (s *sheet) line(name string, p []byte) {
	fmt.Fprintf(s, "%s\n", name)
	for len(p) > 0 {
		n := min(32, len(p))
		fmt.Fprintf(s, "    %s\n", hex.EncodeToString(p[:n]))
		p = p[n:]
	}
}

func (s *sheet) must(err error) {
	if err != nil {
		s.t.Helper()
		s.t.Fatal(err)
	}
}

func example(t *testing.T) string {
	s := &sheet{t: t}
	m, id := exampleMaster()
	k, err := crypt.Derive(m, id, crypt.AES256GCM)
	s.must(err)
	s.line("FK", m.Family[:])
	s.line("RK_1", m.Epochs[0].Key[:])
	s.line("repository id", id[:])
	cdc, family, h := k.ChunkerKey(), k.Family(), k.NewHasher()
	s.line("cdc (§3.2)", cdc[:])
	s.line("family-id (§3.2)", family[:])
	for _, kind := range []objects.Kind{objects.Data, objects.Meta} {
		sum := h.Sum(kind, []byte("cairn"))
		s.line(fmt.Sprintf("ID of the %v chunk \"cairn\" (§6.1)", kind), sum[:])
	}
	s.slot(m, id)
	s.config(k)
	root, leaf := s.tree(k)
	done := s.pack(k, leaf)
	s.commit(k, root, done)
	return s.String()
}

func exampleMaster() (crypt.Master, objects.RepositoryID) {
	r := &counting{0x20}
	var m crypt.Master
	r.Read(m.Family[:])
	m.Epochs = []crypt.Epoch{{Number: 1}}
	r.Read(m.Epochs[0].Key[:])
	var id objects.RepositoryID
	r.Read(id[:])
	return m, id
}

func exampleTime() time.Time { return time.Unix(1_800_000_000, 5).UTC() }

func (s *sheet) slot(m crypt.Master, id objects.RepositoryID) {
	body, err := crypt.SealSlot(&counting{}, m, id, nil, crypt.NoKDF(), "example", exampleTime())
	s.must(err)
	s.line("body of a slot without a passphrase, for a key file (§5)", body)
}

func (s *sheet) config(k *crypt.Keys) {
	stored, err := record.EncodeConfig(k, record.Config{
		Repository: k.Repository(), AEAD: k.AEAD(), Created: exampleTime(),
		ChunkUnit: 256 << 10, FixedUnit: 128 << 10, FrameSize: 1 << 20,
	}, &counting{})
	s.must(err)
	s.line("config, the first of two copies (§4)", stored[:len(stored)/2])
}

// tree is an archive of a directory with one file and one link to it.
func (s *sheet) tree(k *crypt.Keys) (archive.Root, []byte) {
	var leaf []byte
	h := k.NewHasher()
	w := archive.NewWriter(k.TreeSeed(), func(plain []byte) (objects.ID, error) {
		leaf = bytes.Clone(plain)
		return h.Sum(objects.Meta, plain), nil
	})
	at := archive.TimeOf(exampleTime())
	who := archive.Owner{UID: 1000, GID: 100, User: "ann", Group: "users"}
	for _, e := range []archive.Entry{
		{Path: "d", Type: archive.Dir, Mode: 0o755, Owner: who, ModTime: at, ChangeTime: at, Inode: 7},
		{Path: "d/f", Type: archive.File, Mode: 0o644, Owner: who, ModTime: at, ChangeTime: at, Inode: 8,
			Size: 3, Content: archive.InlineContent([]byte("hi\n"))},
		{Path: "d/l", Type: archive.Symlink, Mode: 0o777, Owner: who, ModTime: at, ChangeTime: at, Inode: 9, Target: "f"},
	} {
		s.must(w.Add(&e))
	}
	root, err := w.Finish()
	s.must(err)
	s.line("leaf with a directory d, a file d/f that holds \"hi\\n\", a symlink d/l to f (§8)", leaf)
	return root, leaf
}

func (s *sheet) pack(k *crypt.Keys, leaf []byte) *pack.Pack {
	b, err := pack.NewBuilder(k, objects.Meta, pack.Options{Target: pack.MinTarget, Random: &counting{}})
	s.must(err)
	id := k.NewHasher().Sum(objects.Meta, leaf)
	_, err = b.Add(pack.Stored, leaf, []pack.Chunk{{ID: id, Len: uint32(len(leaf))}})
	s.must(err)
	done, err := b.Finish(pack.ToPadme)
	s.must(err)
	s.line("pack with that leaf (§7)", bytes.Join(done.Parts, nil))
	s.line("its name", done.ID[:])
	return done
}

func (s *sheet) commit(k *crypt.Keys, root archive.Root, p *pack.Pack) {
	c := &record.Commit{
		Generation: 1, Made: exampleTime(), Host: "cliff", User: "ann",
		Packs: []record.Pack{{
			ID: p.ID, Kind: p.Kind, Length: uint64(p.Size),
			HeaderLen: uint32(len(p.Prefix) - pack.PreambleLen), HeaderHash: p.PrefixHash,
		}},
		Archives: []record.Archive{{
			Kind: record.Full, Name: "cliff-1", Host: "cliff", User: "ann", Series: "/d", Version: "1",
			Roots: []record.Root{{Source: "/d", Path: "d"}}, Start: exampleTime(), End: exampleTime(),
			Tree: root.ID, Level: root.Level, Entries: root.Entries, Files: root.Files, Dirs: root.Dirs, Size: root.Size,
		}},
	}
	id, stored, err := record.Encode(k, c, &counting{})
	s.must(err)
	s.line("commit record of generation 1, the first of two copies (§9)", stored[:len(stored)/2])
	s.line("its id", id[:])
	head, err := record.EncodeHead(k, &record.Head{Generation: 1, Commit: id}, &counting{})
	s.must(err)
	s.line("head after it (§10)", head)
}

package check

import (
	"crypto/rand"
	"testing"

	"cairn/index"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"
)

// TestChunkOfTheOtherKind holds that a piece of a file is not found in a pack of
// metadata: restore does not take it from there.
func TestChunkOfTheOtherKind(t *testing.T) {
	t.Parallel()
	repo := objects.RepositoryID{1}
	for kind, good := range map[objects.Kind]bool{objects.Data: true, objects.Meta: false} {
		master, err := crypt.NewMaster(rand.Reader)
		must(t, err)
		keys, err := crypt.Derive(master, repo, crypt.Preferred())
		must(t, err)
		x, err := index.Open(t.TempDir(), repo)
		must(t, err)
		t.Cleanup(func() { must(t, x.Close()) })
		id := keys.NewHasher().Sum(kind, []byte("content"))
		must(t, add(x, keys, kind, id, []byte("content")))

		c := &checker{repo: &repository.Repository{Keys: keys, Index: x}}
		err = c.chunk(archive.Extent{ID: id, Len: 7})
		if (err == nil) != good || !good && !objects.IsCorrupt(err) {
			t.Errorf("a chunk in a pack of %s: got %v", kind, err)
		}
	}
}

// add adds a pack that holds one chunk to x.
func add(x *index.Index, keys *crypt.Keys, kind objects.Kind, id objects.ID, chunk []byte) error {
	b, err := pack.NewBuilder(keys, kind, pack.Options{Target: 1 << 20, Random: rand.Reader})
	if err != nil {
		return err
	}
	if _, err := b.Add(pack.Stored, chunk, []pack.Chunk{{ID: id, Len: uint32(len(chunk))}}); err != nil {
		return err
	}
	p, err := b.Finish(pack.ToPadme)
	if err != nil {
		return err
	}
	return x.Add(packer.IndexPack(record.Pack{
		ID: p.ID, Kind: kind, Length: uint64(p.Size), HeaderLen: uint32(len(p.Prefix) - pack.PreambleLen),
	}), p.Header)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

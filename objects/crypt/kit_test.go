package crypt_test

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cairn/objects"
	"cairn/objects/crypt"
)

var update = flag.Bool("update", false, "write the golden vectors anew")

// fixedRandom returns a source that yields the same bytes in every run.
func fixedRandom(name string) *rand.ChaCha8 {
	var seed [32]byte
	copy(seed[:], "cairn golden vectors: "+name)
	return rand.NewChaCha8(seed)
}

var (
	testRepo    = objects.RepositoryID{0x5e, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	testCreated = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
)

// testMaster has two epochs, as after a rotation.
func testMaster() crypt.Master {
	count := func(from byte) (s crypt.Secret) {
		for i := range s {
			s[i] = from + byte(i)
		}
		return s
	}
	return crypt.Master{
		Family: count(0x20),
		Epochs: []crypt.Epoch{{Number: 1, Key: count(0x40)}, {Number: 3, Key: count(0x60)}},
	}
}

func derive(t testing.TB, m crypt.Master, repo objects.RepositoryID, aead crypt.AEAD) *crypt.Keys {
	t.Helper()
	k, err := crypt.Derive(m, repo, aead)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testKeys(t testing.TB) *crypt.Keys {
	return derive(t, testMaster(), testRepo, crypt.ChaCha20Poly1305)
}

// golden compares got with testdata/name, or writes it with -update.
func golden(t *testing.T, name string, got any) {
	t.Helper()
	p, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	p = append(p, '\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, p, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(p) {
		t.Errorf("%s: a stored byte changed; if that is meant, change FORMAT.md too and run with -update\ngot %s", path, p)
	}
}

// load reads testdata/name.
func load(t *testing.T, name string, into any) {
	t.Helper()
	p, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(p, into); err != nil {
		t.Fatal(err)
	}
}

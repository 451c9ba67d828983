package local_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/backend/backendtest"
	"cairn/backend/local"
)

// helperVariable tells a test binary that it is to play another process.
const helperVariable = "CAIRN_LOCAL_TEST_HELPER"

func TestMain(m *testing.M) {
	play := map[string]func(ctx context.Context, s *local.Store, name string) error{
		"": nil,
		"count": func(ctx context.Context, s *local.Store, name string) error {
			return backendtest.Count(ctx, s, name, processCounts)
		},
		"put": putForever,
	}[os.Getenv(helperVariable)]
	if play == nil {
		os.Exit(m.Run())
	}
	s, err := local.Open(os.Args[1], local.Options{})
	if err == nil {
		err = play(context.Background(), s, os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// helper returns a process that plays the role called what in the store at dir.
func helper(ctx context.Context, t *testing.T, what, dir, name string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, exe, dir, name)
	cmd.Env = append(os.Environ(), helperVariable+"="+what)
	cmd.Stderr = os.Stderr
	return cmd
}

// putForever puts objects that are named by their bytes, two at a time, and
// prints each name when its Put has returned.
func putForever(ctx context.Context, s *local.Store, name string) error {
	group, ctx := errgroup.WithContext(ctx)
	for worker := range uint64(2) {
		group.Go(func() error {
			for i := uint64(0); ; i++ {
				data := make([]byte, 8+rand.N(24<<20))
				binary.LittleEndian.PutUint64(data, i<<1|worker)
				key := nameOf(name, data)
				if err := s.Put(ctx, key, data[:len(data)/3], data[len(data)/3:]); err != nil {
					return err
				}
				fmt.Println(key)
			}
		})
	}
	return group.Wait()
}

func nameOf(dir string, data []byte) backend.Key {
	return backend.Key(fmt.Sprintf("%s/%x", dir, sha256.Sum256(data)))
}

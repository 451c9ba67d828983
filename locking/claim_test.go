package locking_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cairn/locking"
)

// Of those who claim the same only one gets it, and the others are told who has
// it, until it is given up.
func TestClaim(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "claims", "one")
	release, err := locking.Claim(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = locking.Claim(path)
	var running *locking.RunningError
	if !errors.As(err, &running) || !errors.Is(err, locking.ErrRunning) || running.PID != os.Getpid() {
		t.Errorf("a second claim: got %v, want that process %d has it", err, os.Getpid())
	}
	other, err := locking.Claim(path + "-other")
	if err != nil {
		t.Errorf("another claim: %v", err)
	}
	if err := errors.Join(release(), other()); err != nil {
		t.Fatal(err)
	}
	if release, err = locking.Claim(path); err != nil {
		t.Fatalf("a claim that was given up: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

package locking

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// ErrRunning is matched by every *RunningError.
var ErrRunning = errors.New("the same is running already")

// RunningError says which process of this machine does what somebody else was
// about to do.
type RunningError struct{ PID int } // 0: not known

// Error names the process.
func (e *RunningError) Error() string {
	if e.PID == 0 {
		return ErrRunning.Error()
	}
	return fmt.Sprintf("%v: process %d", ErrRunning, e.PID)
}

// Is makes every RunningError match ErrRunning.
func (e *RunningError) Is(target error) bool { return target == ErrRunning }

// Claim keeps other processes of this machine from claiming path, a file that
// it makes if need be and that stays. It answers a *RunningError at once if one
// has it. The claim ends when release is called, and with the process. It asks
// nothing of a store, and is no part of what keeps a repository safe.
func Claim(path string) (release func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	taken, err := tryFlock(f)
	switch {
	case err != nil:
		err = fmt.Errorf("claim: lock %s: %w", path, err)
	case !taken:
		err = &RunningError{PID: claimant(f)}
	default:
		err = errors.Join(f.Truncate(0), signClaim(f))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

func signClaim(f *os.File) error {
	_, err := fmt.Fprintln(f, os.Getpid())
	return err
}

// claimant returns who has signed f, 0 if that cannot be read.
func claimant(f *os.File) int {
	p, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(p)))
	if err != nil {
		return 0
	}
	return pid
}

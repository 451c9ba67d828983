package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestWarnTogether holds that goroutines may warn at the same time, and that
// the same warning counts and is shown once.
func TestWarnTogether(t *testing.T) {
	t.Parallel()
	var shown bytes.Buffer
	term := &terminal{err: &shown}
	v := new(session)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 100 {
				v.warn(term, fmt.Errorf("pack %d is odd", i))
			}
			v.warn(term, errors.New("so is config"))
		})
	}
	group.Wait()
	if got := v.warnings(); got != 101 {
		t.Errorf("got %d warnings, want 101", got)
	}
	if got := strings.Count(shown.String(), "\n"); got != 101 {
		t.Errorf("got %d lines, want 101", got)
	}
}

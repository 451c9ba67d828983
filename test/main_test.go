// Package test proves what no package of cairn can prove alone: that the
// packages stand to each other as they should, and that the program does what
// it says to a person's files, with real processes, real disks and real damage.
package test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program is the path of the cairn that is tested: the one that people run,
// built once.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cairn-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer os.RemoveAll(dir)
	// A test may give the program away to another user.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	program = filepath.Join(dir, "cairn")
	build := exec.Command("go", "build", "-o", program, "cairn/cmd/cairn")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build cairn:", err)
		return 2
	}
	return m.Run()
}

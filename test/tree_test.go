package test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// detail says how much of a tree is described.
type detail int

const (
	portable detail = iota // all that an ordinary user can restore
	owners                 // and who everything belongs to
)

// describe returns one line for every entry below dir, dir itself included,
// in the order of their paths: what a restore must bring back.
func describe(t testing.TB, dir string, d detail) []string {
	t.Helper()
	lines, err := describeTree(dir, d)
	must(t, err)
	return lines
}

func describeTree(dir string, d detail) ([]string, error) {
	entries := map[string]string{}
	inodes := map[uint64][]string{} // the names of what has several, some of which may be outside
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || rel == "." {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if entries[rel], err = describeEntry(path, info, d); err != nil {
			return err
		}
		if st := info.Sys().(*syscall.Stat_t); st.Nlink > 1 && !info.IsDir() {
			inodes[st.Ino] = append(inodes[st.Ino], rel)
		}
		return nil
	})
	for _, names := range inodes {
		for _, name := range names {
			if len(names) > 1 {
				entries[name] += fmt.Sprintf(" same-file-as=%q", names[0])
			}
		}
	}
	var lines []string
	for rel, line := range entries {
		lines = append(lines, fmt.Sprintf("%q %s", rel, line))
	}
	slices.Sort(lines)
	return lines, err
}

func describeEntry(path string, info fs.FileInfo, d detail) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s mtime=%d.%09d", info.Mode(), info.ModTime().Unix(), info.ModTime().Nanosecond())
	if d == owners {
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, " owner=%d:%d", st.Uid, st.Gid)
	}
	switch {
	case info.Mode().IsRegular():
		sum, err := hashFile(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " size=%d sha256=%s", info.Size(), sum)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " target=%q", target)
	}
	attributes, err := xattrs(path)
	for _, x := range attributes {
		fmt.Fprintf(&b, " %s", x)
	}
	return b.String(), err
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// xattrs returns the extended attributes of the user's own, which everybody
// may set, as name=hash.
func xattrs(path string) ([]string, error) {
	room := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, room)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list attributes of %s: %w", path, err)
	}
	var list []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(room[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") {
			continue
		}
		value := make([]byte, 1<<16)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s of %s: %w", name, path, err)
		}
		list = append(list, fmt.Sprintf("%s=%x", name, sha256.Sum256(value[:n])))
	}
	slices.Sort(list)
	return list, nil
}

// differences returns the lines that only one of two sorted lists has.
func differences(got, want []string) string {
	var b strings.Builder
	for _, line := range got {
		if _, found := slices.BinarySearch(want, line); !found {
			fmt.Fprintf(&b, "  got  %s\n", line)
		}
	}
	for _, line := range want {
		if _, found := slices.BinarySearch(got, line); !found {
			fmt.Fprintf(&b, "  want %s\n", line)
		}
	}
	return b.String()
}

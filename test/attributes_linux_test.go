package test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestEverything backs up a tree with everything that a file can have, on each
// of the file systems that people use, and restores it on the same one: as root
// it is the same for every tool that looks at it; for an ordinary user it is
// but for what no ordinary user can have, which is told in one line a kind.
func TestEverything(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("mounts file systems, which needs root")
	}
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, fs := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			disk := loopDisk(t, fs)
			b.src = filepath.Join(disk, "src")
			must(t, os.Mkdir(b.src, 0o755))
			makeEverything(t, b.src, fs)
			remove := addSocket(t, b.src)

			untouched, atimes := observe(t, b.src, filesRead), observe(t, b.src, accessTimes)
			b.want(done, "backup", "--init", "--atime", "--btime", disk+"/./src")
			if got := observe(t, b.src, filesRead); got != untouched {
				t.Errorf("the backup changed access times:\n%s", lineDiff(untouched, got))
			}
			if r := b.want(done, "ls", "latest", "src/sockets"); r.out != "src/sockets\n" {
				t.Errorf("a directory with a socket: got %s", r.out)
			}
			remove()
			born := strings.TrimSpace(tool(t, b.src, "bash", "-c", "date -u -d @$(stat -c %W large) +%FT%T"))
			if r := b.want(done, "ls", "--json", "latest", "src/large"); !strings.Contains(r.out, `"btime":"`+born) {
				t.Errorf("made at %s: got %s", born, r.out)
			}
			restoredAsRoot(t, b, filepath.Join(disk, "back"), atimes)
			restoredByOthers(t, b, filepath.Join(disk, "others"))
			b.want(done, "check", "--read-data")
		})
	}
}

// restoredAsRoot restores twice: the second time into directories and over files
// that nobody may change.
func restoredAsRoot(t *testing.T, b *box, target, atimes string) {
	t.Helper()
	back := filepath.Join(target, "src")
	for _, time := range []string{"first", "second"} {
		b.want(done, "restore", "latest", "--target", target)
		if got := observe(t, back, accessTimes); got != atimes {
			t.Errorf("%s restore: access times:\n%s", time, lineDiff(atimes, got))
		}
		for _, look := range []look{stats, acls, xattrsOfAll, lsattr, holes, blocks} {
			if got, want := observe(t, back, look), observe(t, b.src, look); got != want {
				t.Errorf("%s restore: %s:\n%s", time, look.name, lineDiff(want, got))
			}
		}
		if out := tool(t, b.src, "rsync", "-aHAXn", "--delete", "--itemize-changes", "./", back+"/"); out != "" {
			t.Errorf("%s restore: rsync finds differences:\n%s", time, out)
		}
	}
}

// restoredByOthers restores root's archive as an ordinary user.
func restoredByOthers(t *testing.T, b *box, target string) {
	t.Helper()
	const nobody = 65534
	back := filepath.Join(target, "src")
	must(t, os.Mkdir(target, 0o755), os.Chown(target, nobody, nobody), os.Chmod(filepath.Dir(b.dir), 0o755))
	give(t, b.dir, nobody)
	cmd := b.command("restore", "latest", "--target", target)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if code := exitCode(t, cmd.Run()); code != warnings {
		t.Fatalf("as nobody: got exit code %d, want %d\n%s", code, warnings, &stderr)
	}
	var kinds []string
	for line := range strings.Lines(stderr.String()) {
		for _, kind := range []string{"now yours", "extended attribute", "file flag", "special file"} {
			if strings.Contains(line, kind) {
				kinds = append(kinds, kind)
				line = ""
			}
		}
		if line != "" {
			t.Errorf("as nobody: one line too many: %s", line)
		}
	}
	if slices.Sort(kinds); !slices.Equal(kinds, []string{"extended attribute", "file flag", "now yours", "special file"}) {
		t.Errorf("as nobody: got lines about %q", kinds)
	}
	for _, look := range []look{statsOfAnyone, modesOfAnyone, aclsOfAnyone, xattrsOfUsers, lsattrOfAnyone, holes} {
		if got, want := observe(t, back, look), observe(t, b.src, look); got != want {
			t.Errorf("as nobody: %s:\n%s", look.name, lineDiff(want, got))
		}
	}
}

// give gives everything below dir to a user.
func give(t *testing.T, dir string, uid int) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, uid))
	}))
}

// makeEverything runs testdata/everything.sh.
func makeEverything(t *testing.T, dir, fs string) {
	t.Helper()
	script, err := filepath.Abs("testdata/everything.sh")
	must(t, err)
	tool(t, dir, "bash", script, fs)
	t.Cleanup(func() { _ = exec.Command("chattr", "-R", "-f", "-i", "-a", dir).Run() })
}

// addSocket makes a directory with a socket, which no archive keeps, and which is
// no reason for a warning. The function that it returns removes the socket, so
// that no tool misses it, and leaves the directory as it was.
func addSocket(t *testing.T, dir string) (remove func()) {
	t.Helper()
	dir = filepath.Join(dir, "sockets")
	must(t, os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	must(t, err)
	info, err := os.Stat(dir)
	must(t, err)
	return func() {
		t.Helper()
		must(t, l.Close(), os.Chtimes(dir, time.Time{}, info.ModTime())) // closed is removed
	}
}

// loopDisk returns a directory where an empty file system of the kind is
// mounted.
func loopDisk(t *testing.T, kind string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cairn-disk-") // t.TempDir is closed to others
	must(t, err, os.Chmod(dir, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	image, disk := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	must(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, 320<<20), os.Mkdir(disk, 0o755))
	mkfs := map[string][]string{
		"ext4": {"mkfs.ext4", "-q", "-b", "4096", image}, "xfs": {"mkfs.xfs", "-q", image}, "btrfs": {"mkfs.btrfs", "-q", image},
	}[kind]
	tool(t, dir, mkfs[0], mkfs[1:]...)
	options := "loop"
	if kind == "xfs" {
		options += ",allocsize=4096" // or du counts what is allocated ahead, too
	}
	if out, err := exec.Command("mount", "-t", kind, "-o", options, image, disk).CombinedOutput(); err != nil {
		known, readErr := os.ReadFile("/proc/filesystems")
		must(t, readErr)
		if !slices.Contains(strings.Fields(string(known)), kind) {
			t.Skipf("this kernel has no %s: %s", kind, out)
		}
		t.Fatalf("mount %s: %v\n%s", kind, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return disk
}

// tool runs a program in dir and returns what it prints; it must succeed.
func tool(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out, &stderr)
	}
	return string(out)
}

// look is one way of looking at a tree: a shell command, run in it.
type look struct{ name, command string }

var (
	accessTimes = look{"access times", `find . ! -type d ! -type s -printf '%p %A@\n' | sort`}
	filesRead   = look{"access times of files", `find . -type f -printf '%p %A@\n' | sort`} // readlink changes those of links
	stats       = look{"stat", `find . -printf '%p %y %#m %U:%G %n %T@ %l ' \( -type d -printf '\n' -o -printf '%s\n' \) | sort`}
	acls        = look{"getfacl", `find . ! -type l -print0 | sort -z | xargs -0 getfacl -p -n`}
	xattrsOfAll = look{"getfattr", `find . -print0 | sort -z | xargs -0 getfattr -h -d -m - -e hex`}
	blocks      = look{"du", `find holes large -type f -printf '%p %b\n' | sort`}
	lsattr      = look{"lsattr", `lsattr -R -a . 2>/dev/null | sort -k2`}

	// What an ordinary user can have of it: not the owner, nor the bits that go
	// with him, nor devices.
	statsOfAnyone  = look{"stat", `find . ! -type b ! -type c -printf '%p %y %T@ %l ' \( -type d -printf '\n' -o -printf '%s %n\n' \) | sort`}
	modesOfAnyone  = look{"modes", `find . ! -type b ! -type c ! -path './owners/*' ! -path './modes/f[246]*' -printf '%p %#m\n' | sort`}
	aclsOfAnyone   = look{"getfacl", `find . ! -type b ! -type c ! -type l -print0 | sort -z | xargs -0 getfacl -p -n | grep -v '^# [ofg][wlr]'`}
	xattrsOfUsers  = look{"getfattr", `find . ! -type b ! -type c -print0 | sort -z | xargs -0 getfattr -h -d -m ^user -e hex`}
	lsattrOfAnyone = look{"lsattr", `lsattr -R -a . 2>/dev/null | sed 's/^\(....\)i/\1-/; s/^\(.....\)a/\1-/' | sort -k2`}
)

// holes is not a command: it asks the file system where the data of every file
// is.
var holes = look{name: "holes"}

func observe(t *testing.T, dir string, l look) string {
	t.Helper()
	if l == holes {
		return dataOfAll(t, dir)
	}
	seen := tool(t, dir, "bash", "-c", "set -euo pipefail; "+l.command)
	if seen == "" {
		t.Errorf("%s: sees nothing", l.name)
	}
	return seen
}

// dataOfAll returns where the data of every file lies.
func dataOfAll(t *testing.T, dir string) string {
	t.Helper()
	tool(t, dir, "sync", "-f", ".")
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(&b, "%q", strings.TrimPrefix(path, dir))
		for at := int64(0); ; {
			from, err := f.Seek(at, unix.SEEK_DATA)
			if errors.Is(err, unix.ENXIO) {
				break
			}
			to, holeErr := f.Seek(from, unix.SEEK_HOLE)
			if err := errors.Join(err, holeErr); err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d-%d", from, to)
			at = to
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

// lineDiff returns the lines that only one of two texts has.
func lineDiff(want, got string) string {
	return differences(slices.Sorted(strings.Lines(got)), slices.Sorted(strings.Lines(want)))
}

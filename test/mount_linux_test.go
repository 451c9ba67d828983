package test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A mounter is a box with an archive and a directory to mount at. Root mounts;
// others are spared.
type mounter struct {
	*box
	dir string
}

func newMounter(t *testing.T, fill func(src string)) *mounter {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts without fusermount3")
	}
	m := &mounter{box: newBox(t)}
	m.dir = filepath.Join(m.box.dir, "mnt")
	must(t, os.Mkdir(m.dir, 0o755))
	fill(m.src)
	settle()
	m.want(done, "init")
	m.want(done, m.backupArgs()...)
	t.Cleanup(func() { _ = unix.Unmount(m.dir, unix.MNT_DETACH) }) // if the test has not
	return m
}

// sh runs a shell command in the box and returns what it printed.
func (m *mounter) sh(command string) string {
	m.t.Helper()
	return shell(m.t, m.box.dir, command)
}

// shell runs a shell command in a directory and returns what it printed.
func shell(t testing.TB, dir, command string) string {
	t.Helper()
	cmd := exec.Command("sh", "-euc", command)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// everything makes all kinds of files.
func everything(t *testing.T) func(src string) {
	return func(src string) {
		t.Helper()
		cmd := exec.Command("sh", "-euc", `
mkdir -p sub/deeper empty-dir
: >empty
echo linked >link-a
ln link-a sub/link-b
ln link-a sub/link-c
ln -s /nowhere/at/all symlink
mkfifo -m 640 fifo
mknod null c 1 3
truncate -s 3M holes
printf middle | dd of=holes bs=1 seek=1500000 conv=notrunc status=none
truncate -s 1M only-a-hole
head -c 5000000 /dev/urandom >large
echo x >setuid; chmod 4711 setuid
echo x >times; touch -d '1969-07-20 20:17:40.123456789' times
echo x >attributes
setfattr -n user.colour -v green attributes
setfattr -n user.empty attributes
setfattr -n user.a=b%c -v 'two
lines' attributes
setfacl -m u:nobody:rw,u:4242:r attributes
setfacl -d -m g:daemon:rx sub
echo x >"$(printf 'bad\377\nname')"
echo x >käse
chown 4711:4712 sub/link-b
n=$(printf 'x%.0s' $(seq 120)); mkdir -p $n/$n; echo deep >$n/$n/$n
for i in $(seq 400); do echo $i >sub/deeper/file-$i; done
touch -d '2001-02-03 04:05:06.789012345' sub`)
		cmd.Dir = src
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make files: %v\n%s", err, out)
		}
	}
}

// A mounted archive is what was backed up, to every tool that looks.
func TestMountedArchive(t *testing.T) {
	t.Parallel()
	m := newMounter(t, everything(t))
	r := m.want(done, "mount", "latest", m.dir)
	if !strings.Contains(r.out, "mounted at "+m.dir) {
		t.Errorf("got %q, want where it is mounted", r.out)
	}
	if d := differences(describe(t, m.dir, owners), describe(t, m.src, owners)); d != "" {
		t.Errorf("mounted and source differ:\n%s", d)
	}
	// The directory itself is the mount's: it cannot be written to, and is as old as the archive.
	if got := m.sh(`rsync -aHAX --checksum --dry-run --delete --itemize-changes src/ mnt/ | grep -v '^\.d..[.t]p\.\.\.\.\. \./$' || true`); got != "" {
		t.Errorf("to rsync they differ:\n%s", got)
	}
	m.sh("rm src/fifo src/null; diff -r --no-dereference src mnt | grep -v '^Only in mnt: \\(fifo\\|null\\)$' >differences || true; ! test -s differences")
	m.sh("cd mnt && getfacl -p attributes sub >../acl-mnt && cd ../src && getfacl -p attributes sub >../acl-src && cmp ../acl-mnt ../acl-src")
	m.holes()
	for _, change := range []string{"echo x >mnt/new", "rm mnt/empty", "chmod 600 mnt/empty", "mkdir mnt/sub/d"} {
		m.sh("! " + change + " 2>/dev/null")
	}
	if got := m.sh("ls mnt/nowhere 2>&1 || true"); !strings.Contains(got, "No such file") {
		t.Errorf("got %q for a file that is not there", got)
	}
	m.want(done, "umount", m.dir)
	if got := m.sh("ls -A mnt"); got != "" {
		t.Errorf("after umount there is %q", got)
	}
}

// holes wants seeks for data and holes to find them.
func (m *mounter) holes() {
	m.t.Helper()
	f, err := os.Open(filepath.Join(m.dir, "holes"))
	must(m.t, err)
	defer f.Close()
	data, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_DATA)
	if err != nil || data < 1_400_000 || data > 1_500_000 {
		m.t.Errorf("SEEK_DATA: got %d, %v, want a little before 1500000", data, err)
	}
	hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
	if err != nil || hole < 1_500_006 || hole > 1_600_000 {
		m.t.Errorf("SEEK_HOLE: got %d, %v, want a little behind 1500006", hole, err)
	}
	if _, err := unix.Seek(int(f.Fd()), hole, unix.SEEK_DATA); err != unix.ENXIO {
		m.t.Errorf("SEEK_DATA in the last hole: got %v, want ENXIO", err)
	}
	if kib := m.sh("du -k mnt/holes | cut -f 1"); len(strings.TrimSpace(kib)) > 2 {
		m.t.Errorf("the file with holes takes %s KiB", kib)
	}
}

// A mounted repository shows all archives, and new ones when they come.
func TestMountedRepository(t *testing.T) {
	t.Parallel()
	m := newMounter(t, func(src string) { write(t, filepath.Join(src, "letter"), []byte("one\n")) })
	m.want(done, "mount", m.dir)
	latest, err := filepath.Glob(filepath.Join(m.dir, "*", "*", "latest"))
	must(t, err)
	if len(latest) != 1 {
		t.Fatalf("got %q, want one link to what is latest", latest)
	}
	read := func() string {
		p, err := os.ReadFile(filepath.Join(latest[0], "letter"))
		must(t, err)
		return string(p)
	}
	if got := read(); got != "one\n" {
		t.Errorf("got %q", got)
	}
	write(t, filepath.Join(m.src, "letter"), []byte("two\n"))
	m.want(done, m.backupArgs()...)
	for deadline := time.Now().Add(time.Minute); read() != "two\n"; time.Sleep(100 * time.Millisecond) { // the kernel forgets by its own clock
		if time.Now().After(deadline) {
			t.Fatal("the new archive does not show")
		}
	}
	if n := strings.Count(m.sh("ls "+filepath.Dir(latest[0])), "\n"); n != 3 {
		t.Errorf("got %d names, want two archives and the link", n)
	}
	m.want(done, "umount", m.dir)
}

// In the foreground, an interrupt unmounts, even if somebody uses the directory.
func TestMountInTheForeground(t *testing.T) {
	t.Parallel()
	m := newMounter(t, everything(t))
	cmd := m.command("mount", "--foreground", "latest", m.dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	defer cmd.Process.Kill()
	line := make([]byte, 1000)
	if n, err := out.Read(line); err != nil || !bytes.Contains(line[:n], []byte("mounted at")) {
		t.Fatalf("got %q, %v\n%s", line[:n], err, &stderr)
	}
	f, err := os.Open(filepath.Join(m.dir, "large"))
	must(t, err)
	defer f.Close()
	busy := m.run("umount", m.dir)
	if busy.code != failed || !strings.Contains(busy.err, "somebody uses it") {
		t.Errorf("umount while it is used: got exit code %d, %q", busy.code, busy.err)
	}
	must(t, cmd.Process.Signal(syscall.SIGINT))
	if code := exitCode(t, cmd.Wait()); code != interrupted && code != done {
		t.Errorf("got exit code %d\n%s", code, &stderr)
	}
	if got := m.sh("ls -A mnt"); got != "" {
		t.Errorf("after the interrupt there is %q", got)
	}
}

// What cannot be read is an I/O error of a mount, and zeros, a warning and an
// exit code of a tar file. The rest can be read.
func TestDamageSeenThroughMountAndTar(t *testing.T) {
	t.Parallel()
	large := noise(1, 3<<20)
	m := newMounter(t, func(src string) {
		write(t, filepath.Join(src, "large"), large)
		write(t, filepath.Join(src, "small"), []byte("whole\n"))
	})
	m.damageData()

	m.want(done, "mount", "latest", m.dir)
	if _, err := os.ReadFile(filepath.Join(m.dir, "large")); !errors.Is(err, unix.EIO) {
		t.Errorf("a damaged file: got %v, want an I/O error", err)
	}
	if got, err := os.ReadFile(filepath.Join(m.dir, "small")); string(got) != "whole\n" || err != nil {
		t.Errorf("a file that is whole: got %q, %v", got, err)
	}
	m.want(done, "umount", m.dir)

	out := filepath.Join(m.box.dir, "out.tar")
	if r := m.want(damaged, "export-tar", "latest", out); !strings.Contains(r.err, "large: zeros stand in the place") {
		t.Errorf("the warning does not name the file: %s", r.err)
	}
	m.sh("mkdir unpacked && tar -C unpacked -xf out.tar && cmp unpacked/small " + filepath.Join(m.src, "small"))
	got, err := os.ReadFile(filepath.Join(m.box.dir, "unpacked", "large"))
	must(t, err)
	if len(got) != len(large) || bytes.Equal(got, large) {
		t.Fatalf("the damaged file has %d bytes, want %d, and not those that it had", len(got), len(large))
	}
	for i := range got {
		if got[i] != large[i] && got[i] != 0 {
			t.Fatalf("byte %d is neither what it was nor zero", i)
		}
	}
}

// damageData changes a bit in the middle of the largest pack, that of the data.
func (m *mounter) damageData() {
	m.t.Helper()
	packs, err := filepath.Glob(filepath.Join(m.repo, "packs", "*", "*"))
	must(m.t, err)
	var name string
	var largest []byte
	for _, pack := range packs {
		p, err := os.ReadFile(pack)
		must(m.t, err)
		if len(p) > len(largest) {
			name, largest = pack, p
		}
	}
	largest[len(largest)/2] ^= 1
	must(m.t, os.Remove(name), os.WriteFile(name, largest, 0o600))
}

// A mount outlives a compaction: what it shows was moved, and is found again.
func TestMountOutlivesCompaction(t *testing.T) {
	t.Parallel()
	m := newMounter(t, func(src string) {
		write(t, filepath.Join(src, "stays"), noise(1, 1<<20))
		write(t, filepath.Join(src, "goes"), noise(2, 6<<20))
	})
	first := m.want(done, "list", "--json").out[len(`{"id":"`):][:8]
	must(t, os.Remove(filepath.Join(m.src, "goes")))
	m.want(done, m.backupArgs()...)
	m.want(done, "mount", "latest", m.dir)
	m.want(done, "delete", "--quiet", first)
	if r := m.want(done, "compact", "--now", "--max-unused", "0"); !strings.Contains(r.out, "rewrote 1 pack") {
		t.Fatalf("nothing was moved: %s", r.out)
	}
	m.want(done, "compact", "--now")
	m.sh("diff -r src mnt")
	m.want(done, "umount", m.dir)
}

// The memory of a mount does not grow with the files that were looked at.
func TestMountTakesLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("makes many files")
	}
	t.Parallel()
	m := newMounter(t, func(src string) {
		for i := range 100 {
			dir := filepath.Join(src, strconv.Itoa(i))
			must(t, os.Mkdir(dir, 0o755))
			for j := range 100 {
				must(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(j)), []byte(strconv.Itoa(i*j)), 0o644))
			}
		}
	})
	cmd := m.command("mount", "--foreground", "latest", m.dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Process.Kill()
	_, err = out.Read(make([]byte, 100))
	must(t, err)
	if got := strings.TrimSpace(m.sh("find mnt -type f -printf '%s\\n' | wc -l")); got != "10000" {
		t.Errorf("find: got %s files, want 10000", got)
	}
	m.sh("cat mnt/*/* | cksum >a; cat src/*/* | cksum >b; cmp a b")
	status := m.sh("grep VmHWM /proc/" + strconv.Itoa(cmd.Process.Pid) + "/status")
	kib, err := strconv.Atoi(strings.Fields(status)[1])
	must(t, err)
	if kib > 200_000 {
		t.Errorf("the mount took %d KiB, want less than 200000", kib)
	}
	m.want(done, "umount", m.dir)
	_ = cmd.Wait()
}

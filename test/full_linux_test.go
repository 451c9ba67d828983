package test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFullDisk fills the disk that holds the repository. The run that meets
// its end says so; what was committed before stays whole, no unfinished file
// stays behind, and with some room the same command succeeds.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("mounts a small disk, which needs root")
	}
	b := newBox(t)
	disk := smallDisk(t, b, 12<<20)
	b.useRepo(filepath.Join(disk, "repo"))
	write(t, b.src+"/first", noise(1, 3<<20))
	b.want(done, "init")
	b.want(done, b.backupArgs()...)
	kept := describe(t, b.src, owners)

	// More than fits.
	write(t, b.src+"/second", noise(2, 20<<20))
	b.want(full, b.backupArgs()...)
	if left := files(t, filepath.Join(b.repo, "tmp")); len(left) > 0 {
		t.Errorf("%d unfinished files stay behind", len(left))
	}
	b.checkRestore("the archive from before", kept)

	// Not a byte is free: reading needs none.
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	b.want(full, b.backupArgs()...)
	b.want(done, "list")
	b.checkRestore("the archive from before, on a full disk", kept)

	// With room the same command succeeds, and uses what it had stored before.
	must(t, os.Remove(ballast), unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, "size=64m"))
	b.want(done, b.backupArgs()...)
	if got, most := b.stored(), 24<<20; got > most {
		t.Errorf("23 MiB of files take %d bytes, want at most %d: some were stored twice", got, most)
	}
	b.want(done, "check", "--read-data")
	b.checkRestore("the archive with room", describe(t, b.src, owners))
}

// TestFullTarget fills the disk that a restore writes to.
func TestFullTarget(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("mounts a small disk, which needs root")
	}
	b := newBox(t)
	write(t, b.src+"/large", noise(1, 8<<20))
	b.want(done, "init")
	b.want(done, b.backupArgs()...)
	disk := smallDisk(t, b, 4<<20)
	target := filepath.Join(disk, "back")
	r := b.want(full, "restore", "latest", "--target", target)
	if !strings.Contains(r.err, target+": the target is full") || strings.Contains(r.err, "store is full") {
		t.Errorf("stderr does not say what is full: %s", r.err)
	}
	if left := files(t, target); len(left) > 0 {
		t.Errorf("%d files are there that are not whole", len(left))
	}
}

// TestReadOnlyDisk reads a repository that cannot be written to, in which a
// writer died long ago.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("mounts a disk, which needs root")
	}
	b := newBox(t)
	disk := smallDisk(t, b, 12<<20)
	b.useRepo(filepath.Join(disk, "repo"))
	write(t, b.src+"/letter", []byte("Dear reader"))
	b.want(done, "init")
	b.want(done, b.backupArgs()...)
	left := filepath.Join(b.repo, "tmp", "left")
	long := time.Now().Add(-72 * time.Hour)
	write(t, left, []byte("unfinished"))
	must(t, os.Chtimes(left, long, long), unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	for _, verb := range [][]string{{"list"}, {"ls", "latest"}, {"info"}, {"check", "--read-data"}} {
		b.want(done, verb...)
	}
	b.checkRestore("the archive on a disk that is mounted read-only", describe(t, b.src, owners))
	if r := b.want(failed, b.backupArgs()...); !strings.Contains(r.err, "read-only file system") {
		t.Errorf("stderr does not say why nothing can be stored: %s", r.err)
	}
}

// smallDisk mounts a disk of so many bytes and returns where.
func smallDisk(t *testing.T, b *box, size int) string {
	t.Helper()
	disk := filepath.Join(b.dir, "disk")
	must(t, os.Mkdir(disk, 0o755))
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size="+strconv.Itoa(size)); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	return disk
}

// fill writes a file until the disk takes no more.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for _, size := range []int{1 << 20, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

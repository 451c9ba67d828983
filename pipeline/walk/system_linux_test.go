package walk

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/pipeline/fileattr"
)

// Permissions mean nothing to root: the test runs itself as nobody.
func TestPermissions(t *testing.T) {
	t.Parallel()
	if top := os.Getenv("CAIRN_WALK_AS_NOBODY"); top != "" {
		walkUnreadable(t, top)
		return
	}
	top, err := os.MkdirTemp("", "cairn")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(top) })
	for _, path := range []string{"closed/in", "list/in", "through/in", "open/in"} {
		must(t, os.MkdirAll(top+"/"+path, 0o755))
	}
	must(t, os.WriteFile(top+"/open/secret", nil, 0))
	if os.Getuid() != 0 {
		chmodTree(t, top)
		walkUnreadable(t, top)
		return
	}
	chmodTree(t, top)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestPermissions$", "-test.v")
	cmd.Env = append(os.Environ(), "CAIRN_WALK_AS_NOBODY="+top)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestPermissions") {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func chmodTree(t *testing.T, top string) {
	t.Helper()
	for path, mode := range map[string]fs.FileMode{"": 0o755, "/closed": 0, "/list": 0o744, "/through": 0o711} {
		must(t, os.Chmod(top+path, mode))
	}
	t.Cleanup(func() {
		for _, path := range []string{"/closed", "/list", "/through"} {
			os.Chmod(top+path, 0o700)
		}
	})
}

func walkUnreadable(t *testing.T, top string) {
	t.Helper()
	if os.Getuid() != 0 {
		closed := map[string]Type{"closed": Directory, "list/in": 0, "through": Directory}
		for _, item := range collect(t, Options{}, top+"/./") {
			kind, denied := closed[item.Path]
			if denied != errors.Is(item.Err, fs.ErrPermission) || denied && kind != item.Stat.Type {
				// A directory in "list" can be seen but not stat'ed.
				t.Errorf("%s: %q, %v", item.Path, item.Stat.Type, item.Err)
			}
			if item.Path == "open/secret" {
				if _, _, err := item.Open(); !errors.Is(err, fs.ErrPermission) {
					t.Errorf("open: %v", err)
				}
			}
		}
	}
	items := collect(t, Options{}, top+"/./through/in")
	if len(items) != 2 || items[1].Err != nil || items[1].Path != "through/in" {
		t.Errorf("root below an unreadable directory: %+v", items)
	}
}

func TestXattrs(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	must(t, os.WriteFile(top+"/f", nil, 0o644))
	must(t, os.Mkdir(top+"/d", 0o755))
	must(t, os.Symlink("f", top+"/l"))
	big := strings.Repeat("x", 1000)
	for _, path := range []string{"/f", "/d"} {
		err := unix.Setxattr(top+path, "user.b", []byte(big), 0)
		if errors.Is(err, unix.ENOTSUP) {
			t.Skip("the file system has no extended attributes")
		}
		must(t, err)
		must(t, unix.Setxattr(top+path, "user.a", nil, 0))
	}
	for _, item := range collect(t, Options{}, top+"/./") {
		set, problems := item.Attributes(fileattr.LeaveLabels)
		checkXattrs(t, item, set.Xattrs, problems, big)
		if item.Stat.Type == File {
			f, st, err := item.Open()
			must(t, err)
			set, problems = FileAttributes(f, &st, fileattr.LeaveLabels)
			checkXattrs(t, item, set.Xattrs, problems, big)
			must(t, f.Close())
		}
	}
}

func checkXattrs(t *testing.T, item *Item, list []fileattr.Xattr, problems []error, big string) {
	t.Helper()
	if len(problems) > 0 {
		t.Error(problems)
	}
	var user []fileattr.Xattr
	for _, x := range list {
		if strings.HasPrefix(x.Name, "user.") {
			user = append(user, x)
		}
	}
	if item.Stat.Type == Symlink {
		if len(user) != 0 {
			t.Errorf("%s: got %q, want none: the link was followed", item.Path, user)
		}
		return
	}
	if len(user) != 2 || user[0].Name != "user.a" || len(user[0].Value) != 0 || string(user[1].Value) != big {
		t.Errorf("%s: got %q", item.Path, user)
	}
}

func TestFstatatAgreesWithStatx(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/dev/null", "/proc/self", t.TempDir()} {
		var a, b Stat
		must(t, statAt(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, &a))
		must(t, fstatat(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, &b))
		a.BirthTime, a.Flags = Time{}, 0
		if path == "/proc/self" || path == "/" {
			a.AccessTime, a.ChangeTime, a.ModTime = b.AccessTime, b.ChangeTime, b.ModTime
		}
		if a != b {
			t.Errorf("%s: statx %+v, fstatat %+v", path, a, b)
		}
	}
}

func TestOpenKeepsAccessTime(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/f"
	must(t, os.WriteFile(path, []byte("x"), 0o644))
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0))
	items := collect(t, Options{}, path)
	item := items[len(items)-1]
	f, _, err := item.Open()
	must(t, err)
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	must(t, err)
	if stat, err := item.Restat(); err != nil || stat.AccessTime.Sec != 1 || stat.ModTime.Sec != 2 {
		t.Errorf("got %+v, %v", stat, err)
	}
}

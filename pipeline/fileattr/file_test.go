package fileattr

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/objects/attr"
)

// TestGrowing holds that a value comes whole from systems that say ERANGE and
// from one that cuts short, whatever its length.
func TestGrowing(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 255, 256, 257, 1024, 1025, 70_000} {
		value := bytes.Repeat([]byte{7}, size)
		for name, tooShort := range map[string]error{"says so": unix.ERANGE, "cuts short": nil} {
			interrupted := false
			got, err := growing(func(to []byte) (int, error) {
				if !interrupted {
					interrupted = true
					return -1, unix.EINTR
				}
				if len(to) < size && tooShort != nil {
					return -1, tooShort
				}
				return copy(to, value), nil
			})
			if err != nil || !bytes.Equal(got, value) {
				t.Errorf("%d bytes, %s: got %d bytes, %v", size, name, len(got), err)
			}
		}
	}
	_, err := growing(func(to []byte) (int, error) { return len(to), nil })
	if !errors.Is(err, errTooLarge) {
		t.Errorf("without end: got %v", err)
	}
}

// TestCollect holds that what cannot be read costs nothing but itself, and that
// labels are left out unless asked for.
func TestCollect(t *testing.T) {
	t.Parallel()
	names := []string{"user.z", "security.selinux", "com.apple.provenance", "user.gone", "user.a"}
	read := func(name string) ([]byte, error) {
		if name == "user.gone" {
			return nil, unix.ENOENT
		}
		return []byte(name), nil
	}
	for labels, want := range map[Labels][]string{
		LeaveLabels: {"user.a", "user.z"},
		KeepLabels:  {"com.apple.provenance", "security.selinux", "user.a", "user.z"},
	} {
		var s Set
		problems := s.collect(names, labels, read)
		if len(problems) != 1 || problems[0].Error() != "read extended attribute user.gone: "+unix.ENOENT.Error() {
			t.Errorf("got problems %v", problems)
		}
		var got []string
		for _, x := range s.Xattrs {
			got = append(got, x.Name)
		}
		if len(got) != len(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	for _, err := range []error{unix.ENOTTY, unix.EOPNOTSUPP, &Error{"flags", unix.ENOTSUP}, foreignFlags(attr.Opaque)} {
		if !Unsupported(err) {
			t.Errorf("%v is not unsupported", err)
		}
	}
	for _, err := range []error{nil, unix.EPERM, unix.ENOSPC, foreignFlags(0)} {
		if Unsupported(err) {
			t.Errorf("%v is unsupported", err)
		}
	}
}

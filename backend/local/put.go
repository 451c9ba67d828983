package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"cairn/backend"
)

// stride is how many bytes are written before their way to the disk is started,
// and between two looks at the context.
const stride = 8 << 20

// Put implements backend.Backend.
func (s *Store) Put(ctx context.Context, key backend.Key, parts ...[]byte) error {
	err := backend.Begin(ctx, key)
	if err == nil {
		err = s.writable()
	}
	if err == nil {
		err = s.put(ctx, string(key), parts)
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, name string, parts [][]byte) error {
	dir := path.Dir(name)
	if err := s.dirs.ensure(dir); err != nil {
		return s.explainPut(err)
	}
	t, err := s.writeTemp(ctx, parts)
	if err != nil {
		return s.explainPut(err)
	}
	defer t.discard()

	published := t.publish(name)
	if published != nil && !errors.Is(published, unix.EEXIST) {
		return s.explainPut(published)
	}
	// Also for an object that was there: its writer may not have come so far,
	// and ErrExist says that it is durable.
	err = s.dirs.flush(dir)
	if err != nil && published == nil {
		// The kernel may count the entry as clean now, and a second flush as
		// success, though it never reached the disk. Only a new file is sure.
		err = errors.Join(err, s.unlink(name))
	}
	if err != nil {
		return s.explainPut(err)
	}
	return s.explainPut(published)
}

// explainPut is explain for what no read can meet: directories that vanish
// under a writer, and a key below another object.
func (s *Store) explainPut(err error) error {
	switch {
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%w: key lies below that of another object", backend.ErrInvalid)
	case errors.Is(err, unix.ENOENT):
		s.dirs.forget()
	}
	return s.explain(err, fmt.Errorf("%w: a directory vanished", backend.ErrUnavailable))
}

// A temp is a whole and durable file that has no lasting name yet.
type temp struct {
	s    *Store
	file *os.File
	name string
}

// writeTemp writes parts to a new file and returns it when its bytes are
// durable. The caller calls discard, whatever becomes of it.
func (s *Store) writeTemp(ctx context.Context, parts [][]byte) (*temp, error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	name := tmpDir + "/" + rand.Text()
	file, err := s.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return nil, err
	}
	t := &temp{s: s, file: file, name: name}
	if err := t.write(ctx, parts); err != nil {
		t.discard()
		return nil, err
	}
	// A failed flush is final for this file: the pages that were not written
	// count as clean now, so it must never be flushed again and believed.
	if err := s.flushFile(file); err != nil {
		t.discard()
		return nil, err
	}
	return t, nil
}

func (t *temp) write(ctx context.Context, parts [][]byte) error {
	var done int64
	for _, part := range parts {
		for len(part) > 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(len(part), int(stride-done%stride))
			if _, err := t.file.Write(part[:n]); err != nil {
				return err
			}
			part = part[n:]
			done += int64(n)
			if done%stride == 0 {
				startWriteback(t.file, done-stride, stride)
			}
		}
	}
	return nil
}

// publish gives the file its name unless that is taken, which is EEXIST. A hard
// link comes first: it is exclusive on network file systems too, where a rename
// may be exclusive among the processes of one machine only.
func (t *temp) publish(name string) error {
	fd := t.s.fd()
	err := uninterrupted(func() error { return unix.Linkat(fd, t.name, fd, name, 0) })
	switch {
	case errors.Is(err, unix.EEXIST) && t.linked():
		return nil // the reply to our own link was lost, and the request repeated
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EOPNOTSUPP),
		errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EXDEV):
		return t.s.rename(t.name, name)
	}
	return err
}

// rename is publish for a file system without hard links.
func (s *Store) rename(from, to string) error {
	err := uninterrupted(func() error { return renameExclusive(s.fd(), from, to) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("%w: the file system of %s has neither hard links nor exclusive renames; keep the store on another",
			backend.ErrDenied, s.path)
	}
	return err
}

func (t *temp) linked() bool {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstat(int(t.file.Fd()), &st) })
	return err == nil && st.Nlink > 1
}

// discard closes the file and removes its temporary name. What it cannot remove
// is swept a day later.
func (t *temp) discard() {
	_ = t.file.Close()
	_ = t.s.unlink(t.name)
}

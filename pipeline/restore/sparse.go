package restore

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// sparseBlock is what a hole is made of: what file systems allocate, bytes.
const sparseBlock = 4 << 10

// put writes p at off of the file fd, and with Options.Sparse leaves out what is
// zero: the file must be long enough then, and empty there.
func (r *run) put(fd int, p []byte, off int64) error {
	if !r.o.Sparse {
		return pwriteAll(fd, p, off)
	}
	zeros := make([]byte, sparseBlock)
	for len(p) > 0 {
		n := blockAt(p, off)
		if bytes.Equal(p[:n], zeros[:n]) {
			p, off = p[n:], off+int64(n)
			continue
		}
		for n < len(p) { // what is not zero, in one go
			next := blockAt(p[n:], off+int64(n))
			if bytes.Equal(p[n:n+next], zeros[:next]) {
				break
			}
			n += next
		}
		if err := pwriteAll(fd, p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// blockAt returns how much of p lies in the block of the file that off is in.
func blockAt(p []byte, off int64) int {
	return min(len(p), sparseBlock-int(off%sparseBlock))
}

// stretch gives a file that may end in a hole its length.
func (r *run) stretch(fd int, size int64) error {
	if !r.o.Sparse {
		return nil
	}
	return retry(func() error { return unix.Ftruncate(fd, size) })
}

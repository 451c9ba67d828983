package sftp

import (
	"encoding/binary"
	"fmt"
	"io"

	"cairn/backend"
)

// requests is the way to a server, and tells of every request that goes there.
type requests struct {
	io.WriteCloser
	tap  *backend.Tap
	head []byte // of the packet that begins, as far as it was written
	left int    // of a packet whose head was seen, bytes
}

// headLen is how much of a packet says how long it is and what it is for.
const headLen = 5

// Write implements io.Writer. It is not called concurrently.
func (r *requests) Write(p []byte) (int, error) {
	n, err := r.WriteCloser.Write(p)
	r.see(p[:n])
	return n, err
}

// see follows what is written from packet to packet.
func (r *requests) see(p []byte) {
	for len(p) > 0 {
		if r.left > 0 {
			n := min(r.left, len(p))
			r.left -= n
			p = p[n:]
			continue
		}
		n := min(headLen-len(r.head), len(p))
		r.head = append(r.head, p[:n]...)
		p = p[n:]
		if len(r.head) == headLen {
			r.left = int(binary.BigEndian.Uint32(r.head)) - 1
			r.tap.Requested(requestName(r.head[headLen-1]))
			r.head = r.head[:0]
		}
	}
}

// requestName returns what the protocol calls a kind of request.
func requestName(kind byte) string {
	names := [...]string{1: "INIT", 3: "OPEN", "CLOSE", "READ", "WRITE", "LSTAT", "FSTAT", "SETSTAT", "FSETSTAT",
		"OPENDIR", "READDIR", "REMOVE", "MKDIR", "RMDIR", "REALPATH", "STAT", "RENAME", "READLINK", "SYMLINK"}
	switch {
	case kind == fxpExtended:
		return "EXTENDED"
	case int(kind) < len(names) && names[kind] != "":
		return names[kind]
	}
	return fmt.Sprint(kind)
}

package tarball

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"cairn/objects/archive"
)

// block is what everything in a tar file is a multiple of, bytes.
const block = 512

// trailer is what a tar file is a multiple of as a whole, bytes: tapes, and
// those who think of them, read so much at a time.
const trailer = 20 * block

// Types of members.
const (
	typeFile     = '0'
	typeHardLink = '1'
	typeSymlink  = '2'
	typeChar     = '3'
	typeBlock    = '4'
	typeDir      = '5'
	typeFifo     = '6'
	typeRecords  = 'x'
)

// header describes a member.
type header struct {
	name, target string
	kind         byte
	mode         uint16
	owner        archive.Owner
	size         uint64 // of the data behind it, bytes
	mtime        archive.Time
	major, minor uint32
	records      []paxRecord // that stand only in pax records
}

// paxRecord is one record of a pax header.
type paxRecord struct{ key, value string }

// Largest numbers that fit in a header's fields, in octal with a NUL behind.
const (
	maxSmall = 1<<21 - 1 // modes, owners, devices
	maxLarge = 1<<33 - 1 // sizes, times
)

var errDevice = errors.New("its device number is too large for a tar file")

// paxWriter writes members. Each is its header and then exactly size bytes,
// written with Write.
type paxWriter struct {
	w    io.Writer
	at   uint64 // bytes written
	left uint64 // of the member's data
}

// begin writes a header. The data of the member before are complete.
func (p *paxWriter) begin(h *header) error {
	if err := p.end(); err != nil {
		return err
	}
	if h.major > maxSmall || h.minor > maxSmall {
		return errDevice
	}
	if records := h.pax(); len(records) > 0 {
		if err := p.records(h, records); err != nil {
			return err
		}
	}
	if err := p.put(h.ustar()); err != nil {
		return err
	}
	p.left = h.size
	return nil
}

// end fills up the last block of a member, which must be complete.
func (p *paxWriter) end() error {
	if p.left > 0 {
		return fmt.Errorf("a member of the tar file lacks %d bytes", p.left)
	}
	return p.fill(block)
}

// fill writes zeros up to a multiple of n.
func (p *paxWriter) fill(n uint64) error {
	if over := p.at % n; over > 0 {
		return p.put(make([]byte, n-over))
	}
	return nil
}

// finish ends the tar file.
func (p *paxWriter) finish() error {
	if err := p.end(); err != nil {
		return err
	}
	if err := p.put(make([]byte, 2*block)); err != nil {
		return err
	}
	return p.fill(trailer)
}

// Write writes data of the member.
func (p *paxWriter) Write(data []byte) (int, error) {
	if uint64(len(data)) > p.left {
		return 0, fmt.Errorf("a member of the tar file has %d bytes too many", uint64(len(data))-p.left)
	}
	p.left -= uint64(len(data))
	return len(data), p.put(data)
}

func (p *paxWriter) put(data []byte) error {
	p.at += uint64(len(data))
	_, err := p.w.Write(data)
	return err
}

// records writes the member that holds the pax records of the next one.
func (p *paxWriter) records(h *header, records []paxRecord) error {
	var b bytes.Buffer
	for _, r := range records {
		r.append(&b)
	}
	carrier := header{name: "PaxHeaders/" + ascii(lastName(h.name)), kind: typeRecords, mode: 0o644, size: uint64(b.Len())}
	if err := p.put(carrier.ustar()); err != nil {
		return err
	}
	p.left = carrier.size
	if _, err := p.Write(b.Bytes()); err != nil {
		return err
	}
	return p.end()
}

// append appends the record: its length in decimal, its own digits included, a
// space, key=value and a newline.
func (r paxRecord) append(b *bytes.Buffer) {
	rest := len(r.key) + len(r.value) + 3
	n := rest + len(strconv.Itoa(rest))
	n = rest + len(strconv.Itoa(n))
	fmt.Fprintf(b, "%d %s=%s\n", n, r.key, r.value)
}

// pax returns the records that say what the header's fields cannot.
func (h *header) pax() []paxRecord {
	var list []paxRecord
	text := func(key, value string, room int) {
		if len(value) > room || !isASCII(value) {
			list = append(list, paxRecord{key, value})
		}
	}
	number := func(key string, value, limit uint64) {
		if value > limit {
			list = append(list, paxRecord{key, strconv.FormatUint(value, 10)})
		}
	}
	text("path", h.name, 100)
	text("linkpath", h.target, 100)
	number("size", h.size, maxLarge)
	number("uid", uint64(h.owner.UID), maxSmall)
	number("gid", uint64(h.owner.GID), maxSmall)
	text("uname", h.owner.User, 31)
	text("gname", h.owner.Group, 31)
	if h.mtime.Nsec > 0 || h.mtime.Sec < 0 || h.mtime.Sec > maxLarge {
		list = append(list, paxRecord{"mtime", decimal(h.mtime)})
	}
	return append(list, h.records...)
}

// decimal returns t in seconds since 1970, as pax does.
func decimal(t archive.Time) string {
	sign, sec, nsec := "", t.Sec, t.Nsec
	if sec < 0 {
		sign = "-"
		if sec = -sec; nsec > 0 {
			sec, nsec = sec-1, 1e9-nsec
		}
	}
	text := sign + strconv.FormatUint(uint64(sec), 10)
	if nsec > 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%09d", nsec), "0")
	}
	return text
}

// ustar returns the header's block. What does not fit is cut, and stands in pax
// records.
func (h *header) ustar() []byte {
	b := make([]byte, block)
	copy(b[0:100], h.name)
	octal(b[100:108], uint64(h.mode), maxSmall)
	octal(b[108:116], uint64(h.owner.UID), maxSmall)
	octal(b[116:124], uint64(h.owner.GID), maxSmall)
	octal(b[124:136], h.size, maxLarge)
	octal(b[136:148], uint64(max(h.mtime.Sec, 0)), maxLarge)
	copy(b[148:156], "        ") // the sum is made with spaces in its place
	b[156] = h.kind
	copy(b[157:257], h.target)
	copy(b[257:265], "ustar\x0000")
	copy(b[265:296], h.owner.User)
	copy(b[297:328], h.owner.Group)
	octal(b[329:337], uint64(h.major), maxSmall)
	octal(b[337:345], uint64(h.minor), maxSmall)
	sum := uint64(0)
	for _, c := range b {
		sum += uint64(c)
	}
	octal(b[148:155], sum, maxSmall)
	return b
}

// octal writes v, or as much as fits, and a NUL.
func octal(field []byte, v, limit uint64) {
	copy(field, fmt.Sprintf("%0*o\x00", len(field)-1, min(v, limit)))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// ascii returns s as it can stand in a header that nobody reads.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
}

func lastName(path string) string {
	path = strings.TrimSuffix(path, "/")
	return path[strings.LastIndexByte(path, '/')+1:]
}

package index

import (
	"encoding/binary"
	"math"

	"github.com/zeebo/xxh3"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
)

// A run is a file of pages. The last eight bytes of every page are the XXH3 of
// the bytes before them, seeded with the run's salt plus the page's number, so
// that a page of another run, or of another place in this one, is as wrong as a
// rotten one. Page 0 is the header; six tables follow, each beginning on a new
// page, of rows that do not cross pages:
//
//	packs    by rising ID, each with its first key
//	keys     the other keys; those of one pack lie together, in its order
//	frames   those of one pack lie together, in its order
//	guide    where among the chunks an ID is, and the chunks' leads (guide.go)
//	chunks   by rising ID; a chunk that is in several packs has several rows
//	overflow the leads that the guide has no room for
//
// It is the guide that names frame and pack of a chunk, not the chunk's row, and
// the pack has the key that its frames mostly have: chunk, frame, pack and key
// are read at the same time, not one after another.
//
// Integers are little-endian; what is not named is zero.
const (
	runMagic   = "cairnidx"
	runVersion = 4

	pageSize = 4096
	pageBody = pageSize - 8 // before the checksum

	packSize  = 180 // ID [32], kind, length, header length, first other key, keys, first frame, frames: u32 each, first key [120]
	keySize   = 120 // AEAD u32, epoch u32, commitment [32], wrapped [80]
	frameSize = 24  // key (in its pack), number, compression, offset, stored, raw: u32 each
	chunkSize = 40  // ID [32], offset, length: u32 each
	leadSize  = 8   // frame, pack: u32 each
)

// sum returns the checksum of a page.
func sum(page []byte, salt, number uint64) uint64 {
	return xxh3.HashSeed(page[:pageBody], salt+number)
}

// seal writes the checksum of a page into it.
func seal(page []byte, salt, number uint64) {
	binary.LittleEndian.PutUint64(page[pageBody:], sum(page, salt, number))
}

// sealed reports whether a page carries its checksum.
func sealed(page []byte, salt, number uint64) bool {
	return binary.LittleEndian.Uint64(page[pageBody:]) == sum(page, salt, number)
}

// counts are the numbers of rows.
type counts struct {
	packs, keys, frames, chunks uint32
}

// header is what page 0 of a run says:
//
//	0 magic [8] · 8 version u16 · 12 packs u32 · 16 repository [16] · 32 salt u64 ·
//	40 keys u32 · 44 frames u32 · 48 chunks u32 · 52 lines of the guide u32 ·
//	56 leads in the overflow u32
type header struct {
	repository objects.RepositoryID
	salt       uint64
	counts     counts
	guide      uint32 // lines
	overflow   uint32 // leads
}

// encode writes h into a zeroed page and seals it.
func (h header) encode(page []byte) {
	le := binary.LittleEndian
	copy(page, runMagic)
	le.PutUint16(page[8:], runVersion)
	le.PutUint32(page[12:], h.counts.packs)
	copy(page[16:32], h.repository[:])
	le.PutUint64(page[32:], h.salt)
	le.PutUint32(page[40:], h.counts.keys)
	le.PutUint32(page[44:], h.counts.frames)
	le.PutUint32(page[48:], h.counts.chunks)
	le.PutUint32(page[52:], h.guide)
	le.PutUint32(page[56:], h.overflow)
	seal(page, h.salt, 0)
}

// decodeHeader reads what encode writes and nothing else.
func decodeHeader(page []byte) (header, bool) {
	if len(page) != pageSize {
		return header{}, false
	}
	le := binary.LittleEndian
	h := header{
		repository: objects.RepositoryID(page[16:32]),
		salt:       le.Uint64(page[32:]),
		counts: counts{
			packs:  le.Uint32(page[12:]),
			keys:   le.Uint32(page[40:]),
			frames: le.Uint32(page[44:]),
			chunks: le.Uint32(page[48:]),
		},
		guide:    le.Uint32(page[52:]),
		overflow: le.Uint32(page[56:]),
	}
	var again [pageSize]byte
	h.encode(again[:])
	return h, h.guide > 0 && [pageSize]byte(page) == again
}

// table is where the rows of one kind lie.
type table struct {
	page    uint64 // the first
	size    uint32 // of a row
	perPage uint32
	rows    uint32
}

// end returns the page after the table.
func (t table) end() uint64 {
	return t.page + (uint64(t.rows)+uint64(t.perPage)-1)/uint64(t.perPage)
}

// layout is where the tables of a run lie.
type layout struct {
	packs, keys, frames, guide, chunks, overflow table
}

// layout follows from the counts alone.
func (h header) layout() layout {
	page := uint64(1)
	next := func(size, rows uint32) table {
		t := table{page: page, size: size, perPage: pageBody / size, rows: rows}
		page = t.end()
		return t
	}
	return layout{
		packs:    next(packSize, h.counts.packs),
		keys:     next(keySize, h.counts.keys),
		frames:   next(frameSize, h.counts.frames),
		guide:    next(guidePageSize, uint32((uint64(h.guide)+guidePage-1)/guidePage)),
		chunks:   next(chunkSize, h.counts.chunks),
		overflow: next(leadSize, h.overflow),
	}
}

// size returns the length of the file in bytes.
func (l layout) size() uint64 { return l.overflow.end() * pageSize }

// packRow is a row of the table of packs.
type packRow struct {
	id        objects.ID
	kind      objects.Kind
	length    uint32
	headerLen uint32
	owned
	key pack.Key // the first, if there is one
}

// owned says which rows of other tables are a pack's.
type owned struct {
	firstKey   uint32 // row of the second of its keys
	keys       uint32 // all of them
	firstFrame uint32
	frames     uint32
}

// others returns how many keys the pack has beside the first.
func (o owned) others() uint32 { return max(o.keys, 1) - 1 }

// other returns the row of key n of the pack, which is not the first.
func (o owned) other(n uint32) uint32 { return o.firstKey + n - 1 }

// has reports whether a frame is the pack's, and a key with that number.
func (o owned) has(frame, key uint32) bool { return frame-o.firstFrame < o.frames && key < o.keys }

// decodeOwned reads it from the row of the pack.
func decodeOwned(b []byte) owned {
	return owned{firstKey: u32(b, 44), keys: u32(b, 48), firstFrame: u32(b, 52), frames: u32(b, 56)}
}

func (p *packRow) encode(b []byte) {
	copy(b, p.id[:])
	putU32s(b[32:], uint32(p.kind), p.length, p.headerLen, p.firstKey, p.keys, p.firstFrame, p.frames)
	encodeKey(b[60:], &p.key)
}

func (p *packRow) decode(b []byte) {
	_ = b[:packSize]
	p.id = objects.ID(b[:32])
	p.kind, p.length, p.headerLen = objects.Kind(u32(b, 32)), u32(b, 36), u32(b, 40)
	p.owned = decodeOwned(b)
	decodeKey(b[60:], &p.key)
}

func (p *packRow) public() Pack {
	return Pack{ID: p.id, Kind: p.kind, Len: int64(p.length), HeaderLen: p.headerLen}
}

func encodeKey(b []byte, k *pack.Key) {
	putU32s(b, uint32(k.AEAD), k.Epoch)
	copy(b[8:40], k.Commitment[:])
	copy(b[40:120], k.Wrapped[:])
}

func decodeKey(b []byte, k *pack.Key) {
	k.AEAD, k.Epoch = crypt.AEAD(b[0]), u32(b, 4)
	k.Commitment, k.Wrapped = [32]byte(b[8:40]), [80]byte(b[40:120])
}

// frameRow is a row of the table of frames.
type frameRow struct {
	key         uint32 // in the pack
	number      uint32
	compression pack.Compression
	off         uint32 // from the start of the pack
	stored, raw uint32
}

func (f *frameRow) encode(b []byte) {
	putU32s(b, f.key, f.number, uint32(f.compression), f.off, f.stored, f.raw)
}

func decodeFrame(b []byte) frameRow {
	return frameRow{
		key: u32(b, 0), number: u32(b, 4), compression: pack.Compression(b[8]),
		off: u32(b, 12), stored: u32(b, 16), raw: u32(b, 20),
	}
}

func (f *frameRow) public() pack.Frame {
	return pack.Frame{Key: f.key, Number: f.number, Compression: f.compression, Off: f.off, Stored: f.stored, Raw: f.raw}
}

// claimed stands in place of a frame: the chunk is being stored.
const claimed = math.MaxUint32

// chunkRow is a row of the table of chunks, with its lead.
type chunkRow struct {
	id objects.ID
	lead
	off, len uint32 // in the frame's plaintext
}

// A lead says which rows a chunk's row leads to.
type lead struct {
	frame uint32 // a row of its table, or claimed (in memory only)
	pack  uint32 // a row of its table
}

func (l lead) encode(b []byte) { putU32s(b, l.frame, l.pack) }

func decodeLead(b []byte) lead { return lead{frame: u32(b, 0), pack: u32(b, 4)} }

// encode writes c without its lead.
func (c *chunkRow) encode(b []byte) {
	copy(b, c.id[:])
	putU32s(b[32:], c.off, c.len)
}

func decodeChunk(b []byte, at lead) chunkRow {
	return chunkRow{id: objects.ID(b[:32]), lead: at, off: u32(b, 32), len: u32(b, 36)}
}

func u32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }

func putU32s(b []byte, values ...uint32) {
	for i, v := range values {
		binary.LittleEndian.PutUint32(b[4*i:], v)
	}
}

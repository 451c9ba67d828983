package pack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"cairn/objects"
	"cairn/objects/crypt"
)

const (
	// MinTarget is the smallest target of a pack, bytes.
	MinTarget = 4 << 10
	quanta    = 256 // a target is a multiple of it, so that padding can be
)

// ErrFinished says that a builder's pack is finished: nothing can be added.
var ErrFinished = errors.New("the pack is finished")

// Options say how a Builder works.
type Options struct {
	// Target is the length the pack is not to exceed, bytes: from MinTarget to
	// MaxLen, a multiple of 256.
	Target int

	// Random is a source fit for keys: crypto/rand.Reader. 32 bytes are read,
	// in NewBuilder.
	Random io.Reader

	// Entropy is mixed into what Random yields and need not be secret. It
	// should differ between machines cloned from one image, and between the
	// packs of a machine that is put back to a snapshot: the time now, the
	// process, the host. It may be nil.
	Entropy []byte

	// Buffers is where the pack's buffer comes from and goes back to. It may
	// be nil: then every pack has a fresh one.
	Buffers *Buffers
}

func (o Options) validate() error {
	if o.Target < MinTarget || o.Target > MaxLen || o.Target%quanta != 0 {
		return fmt.Errorf("target of %d bytes: not a multiple of %d from %d to %d", o.Target, quanta, MinTarget, MaxLen)
	}
	return nil
}

// Builder makes one pack. Any number of goroutines may call its methods at
// once: they seal beside each other, straight into the pack's one buffer.
//
// A builder holds one buffer of Target bytes, from its first frame until
// Pack.Release, of which only the pages that frames reach take memory; 36
// bytes for every chunk, 80 while their list grows; and from Finish on the
// header, 33 to 36 bytes for every chunk, for a moment twice. A frame larger
// than Target gets a pack of its own, and a buffer of its length.
type Builder struct {
	keys       *crypt.Keys
	options    Options
	cipher     *frameCipher // under the pack's own key
	own        Key          // that key
	headerSalt [32]byte

	sealing sync.WaitGroup // seals under way

	mu       sync.Mutex
	finished bool           // guarded by mu; nothing is reserved from then on
	next     uint32         // guarded by mu; the next number under the pack's own key
	size     size           // guarded by mu; what all that is reserved takes
	header   Header         // guarded by mu; Frame.Off counts from the frame area
	known    map[Key]uint32 // guarded by mu; indexes of header.Keys
	buf      []byte         // guarded by mu; the frame area. What lies below its length is reserved: it belongs to the one who reserved it until sealing is done
}

// NewBuilder begins a pack of the given kind, with a key of its own.
func NewBuilder(k *crypt.Keys, kind objects.Kind, o Options) (*Builder, error) {
	b, err := newBuilder(k, kind, o)
	if err != nil {
		return nil, fmt.Errorf("begin %v pack: %w", kind, err)
	}
	return b, nil
}

func newBuilder(k *crypt.Keys, kind objects.Kind, o Options) (*Builder, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if !kind.Valid() {
		return nil, errors.New("no such kind")
	}
	s, err := newSecrets(o.Random, o.Entropy)
	if err != nil {
		return nil, err
	}
	own, err := wrap(k, kind, s.key, bytes.NewReader(s.wrapSalt[:]))
	if err != nil {
		return nil, err
	}
	c, err := newFrameCipher(s.key, own, k.Family(), kind)
	if err != nil {
		return nil, err
	}
	clear(s.key[:])
	return &Builder{
		keys: k, options: o, cipher: c, own: own, headerSalt: s.headerSalt,
		size:   size{keys: 1},
		header: Header{Kind: kind, Keys: []Key{own}},
		known:  map[Key]uint32{own: 0},
	}, nil
}

// Empty reports whether nothing was added.
func (b *Builder) Empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.header.Frames) == 0
}

// Len returns how long the pack would be if it were finished now, bytes, without
// its padding.
func (b *Builder) Len() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size.pack()
}

// Add seals a frame into the pack: the payload that a Compressor made of the
// chunks' plaintexts, one behind another. It keeps neither slice. ok is false,
// and nothing has happened, if the pack is full: it is time to Finish it and
// to begin another. An empty pack takes every legal frame. An error means that
// the frame is not legal, or ErrFinished.
func (b *Builder) Add(c Compression, payload []byte, chunks []Chunk) (ok bool, err error) {
	f, err := newFrame(c, len(payload), chunks)
	if err != nil {
		return false, fmt.Errorf("add frame: %w", err)
	}
	room, ok, err := b.reserve(&f, b.own, chunks)
	if !ok {
		return false, err
	}
	defer b.sealing.Done()
	b.cipher.seal(room, f.Number, c, payload)
	return true, nil
}

// AddSealed takes over a frame of another pack of the same repository and kind
// as it is stored, with its key and number. Results are those of Add. The
// caller has verified the frame: opened it, or the whole pack by its name.
func (b *Builder) AddSealed(key Key, f Frame, stored []byte, chunks []Chunk) (ok bool, err error) {
	if err := b.checkSealed(key, f, len(stored), chunks); err != nil {
		return false, fmt.Errorf("add sealed frame: %w", err)
	}
	room, ok, err := b.reserve(&f, key, chunks)
	if !ok {
		return false, err
	}
	defer b.sealing.Done()
	copy(room[:f.Stored], stored)
	return true, nil
}

// newFrame describes a frame to be sealed. Key, number and place are open.
func newFrame(c Compression, payload int, chunks []Chunk) (Frame, error) {
	raw, err := rawLen(chunks)
	if err != nil {
		return Frame{}, err
	}
	if payload > MaxLen {
		return Frame{}, fmt.Errorf("payload of %d bytes", payload)
	}
	f := Frame{Compression: c, Stored: uint32(payload + crypt.TagSize), Raw: raw, Count: uint32(len(chunks))}
	return f, f.check()
}

// checkSealed holds the description of a sealed frame against its parts.
func (b *Builder) checkSealed(key Key, f Frame, stored int, chunks []Chunk) error {
	raw, err := rawLen(chunks)
	if err != nil {
		return err
	}
	if key == b.own {
		return errors.New("its key is this pack's own")
	}
	if int64(f.Stored) != int64(stored) || f.Raw != raw || int64(f.Count) != int64(len(chunks)) {
		return errors.New("its lengths are not those of its parts")
	}
	return f.check()
}

// rawLen returns the length of the chunks' plaintexts, all in all.
func rawLen(chunks []Chunk) (uint32, error) {
	var raw uint32
	for i := range chunks {
		n := chunks[i].Len
		if n == 0 || n > MaxChunk || raw+n > MaxRaw {
			return 0, fmt.Errorf("chunk %d of %d bytes in a frame of %d", i, n, raw)
		}
		raw += n
	}
	if raw == 0 {
		return 0, errors.New("frame without chunks")
	}
	return raw, nil
}

// reserve enters a frame into the header, fills in what f lacks, and returns
// room for it: an empty slice that can grow to the stored length. A frame
// under the pack's own key gets the next number. If ok, the caller fills the
// room and calls b.sealing.Done.
func (b *Builder) reserve(f *Frame, key Key, chunks []Chunk) (room []byte, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished {
		return nil, false, ErrFinished
	}
	after := b.size
	index, known := b.known[key]
	if !known {
		index = uint32(len(b.header.Keys))
		after.keys++
	}
	after = after.plus(entryLen(index, int64(f.Stored), chunks), int64(f.Stored), len(chunks))
	if ok, err := b.fits(after); !ok {
		return nil, false, err
	}
	b.size = after
	if !known {
		b.known[key] = index
		b.header.Keys = append(b.header.Keys, key)
	}
	f.Key = index
	b.sealing.Add(1)
	return b.enter(f, chunks), true, nil
}

// fits reports whether the pack can grow to the given size. An empty pack that
// cannot is an error: no other pack could. The caller holds mu.
func (b *Builder) fits(after size) (bool, error) {
	limit := int64(b.options.Target)
	empty := len(b.header.Frames) == 0
	if empty {
		limit = MaxLen
	}
	if after.pack()+padReserve <= limit && after.header()+padReserve <= maxHeaderLen {
		return true, nil
	}
	if empty {
		return false, fmt.Errorf("a frame of %d chunks in %d bytes fits no pack", after.chunks, after.stored)
	}
	return false, nil
}

// enter appends a frame to the header and returns room for it. The caller
// holds mu and has counted the frame in b.size.
func (b *Builder) enter(f *Frame, chunks []Chunk) []byte {
	if f.Key == 0 {
		// Taken here and never given back: a number that was handed out is
		// spent, whether its seal came to be or not.
		f.Number = b.next
		b.next++
	}
	f.Off = uint32(len(b.buf))
	f.First = uint32(len(b.header.Chunks))
	b.header.Frames = append(b.header.Frames, *f)
	b.header.Chunks = append(b.header.Chunks, chunks...)
	return b.extend(int(f.Stored))
}

// extend lengthens the frame area by n bytes and returns them, as an empty
// slice that cannot grow beyond them. The caller holds mu.
func (b *Builder) extend(n int) []byte {
	start := len(b.buf)
	if b.buf == nil {
		b.buf = b.options.Buffers.take(max(b.options.Target, n))
	}
	// Growing would pull the area away from under the seals under way. Only
	// Finish can need it, after them: a frame that is not the first fits the
	// target, and so the buffer.
	b.buf = slices.Grow(b.buf, n)[:start+n]
	return b.buf[start : start : start+n]
}

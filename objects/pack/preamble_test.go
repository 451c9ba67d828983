package pack

import (
	"errors"
	"testing"

	"github.com/zeebo/xxh3"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

func goodPreamble() Preamble {
	return Preamble{AEAD: crypt.AES256GCM, Epoch: 2, HeaderLen: 500, FramesLen: 1000}
}

func withParity() Preamble {
	p := goodPreamble()
	p.ShardSize, p.DataShards, p.ParityShards = 100, 15, 2
	return p
}

// resum gives b, which was meddled with, a checksum that fits.
func resum(b []byte) []byte {
	return wire.AppendU64(b[:preambleBound:preambleBound], xxh3.Hash(b[:preambleBound]))
}

func TestPreambleLayout(t *testing.T) {
	t.Parallel()
	p := goodPreamble()
	if p.Prefix() != 540 || p.FramesOff() != 540 || p.PackLen() != 1580 {
		t.Errorf("without parity: got %d, %d, %d", p.Prefix(), p.FramesOff(), p.PackLen())
	}
	p = withParity()
	if p.Prefix() != 540 || p.FramesOff() != 540+8*17+200 || p.PackLen() != 80+500+16*17+2*100+1000 {
		t.Errorf("with parity: got %d, %d, %d", p.Prefix(), p.FramesOff(), p.PackLen())
	}
	for _, p := range []Preamble{goodPreamble(), withParity()} {
		got, err := ParsePreamble(append(p.append(nil), "what follows"...))
		if err != nil || got != p {
			t.Errorf("ParsePreamble: got %+v, %v, want %+v", got, err, p)
		}
	}
}

func TestPreambleChecksumIsOfTheEncoding(t *testing.T) {
	t.Parallel()
	a, b := goodPreamble().append(nil), goodPreamble().append([]byte("in front"))
	if string(a) != string(b[8:]) {
		t.Errorf("got %x behind other bytes, want %x", b[8:], a)
	}
}

// TestPreambleBits flips every bit: both ends of a pack are found out alone.
func TestPreambleBits(t *testing.T) {
	t.Parallel()
	for bit := range 8 * PreambleLen {
		b := goodPreamble().append(nil)
		b[bit/8] ^= 1 << (bit % 8)
		_, err := ParsePreamble(b)
		if bit/16 == 4 && errors.Is(err, objects.ErrNewer) {
			continue // the version: nothing else can be said of what it means
		}
		if !objects.IsCorrupt(err) {
			t.Errorf("bit %d: got %v, want a CorruptError", bit, err)
		}
	}
}

// rejectedPreambles are preambles with a checksum that fits, and what is wrong.
func rejectedPreambles() []vector {
	alter := func(f func(*Preamble)) []byte {
		p := withParity()
		f(&p)
		return p.append(nil)
	}
	poke := func(at int, v byte) []byte {
		b := goodPreamble().append(nil)
		b[at] = v
		return resum(b)
	}
	return []vector{
		{"ends early", goodPreamble().append(nil)[:39]},
		{"another magic", poke(0, 'C')},
		{"version 0", poke(8, 0)},
		{"version 2", poke(8, 2)},
		{"AEAD 3", poke(10, 3)},
		{"reserved byte set", poke(11, 1)},
		{"checksum of something else", append(goodPreamble().append(nil)[:39], 0)},
		{"epoch 0", alter(func(p *Preamble) { p.Epoch = 0 })},
		{"header without plaintext", alter(func(p *Preamble) { p.HeaderLen = 48 })},
		{"header too long", alter(func(p *Preamble) { p.HeaderLen = 16<<20 + 1 })},
		{"no frames", alter(func(p *Preamble) { p.FramesLen = 0 })},
		{"frames shorter than a frame", alter(func(p *Preamble) { p.FramesLen = 16 })},
		{"pack too long", poke(23, 4)},
		{"length wraps 32 bits", alter(func(p *Preamble) { p.ShardSize = 1<<32 - 1 })},
		{"shard size alone", alter(func(p *Preamble) { p.DataShards, p.ParityShards = 0, 0 })},
		{"no shard size", alter(func(p *Preamble) { p.ShardSize = 0 })},
		{"no parity shards", alter(func(p *Preamble) { p.ParityShards = 0 })},
		{"no data shards", alter(func(p *Preamble) { p.DataShards = 0 })},
		{"241 data shards", alter(func(p *Preamble) { p.DataShards = 241 })},
		{"257 shards", alter(func(p *Preamble) { p.DataShards, p.ParityShards = 240, 17 })},
		{"shards do not cover header and frames", alter(func(p *Preamble) { p.ShardSize = 99 })},
	}
}

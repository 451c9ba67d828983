package crypt

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"cairn/objects"
)

// Below the seals, where only tests can reach.

func TestDecodeSlotRejects(t *testing.T) {
	t.Parallel()
	m := Master{Epochs: []Epoch{{Number: 1}, {Number: 2}}}
	good := appendSlot(nil, m, "label", time.Unix(9, 0))
	if _, err := decodeSlot(good); err != nil {
		t.Fatal(err)
	}
	edit := func(off int, p string) []byte {
		b := bytes.Clone(good)
		copy(b[off:], p)
		return b
	}
	for reason, p := range map[string][]byte{
		"empty":            nil,
		"truncated":        good[:len(good)-1],
		"trailing byte":    append(bytes.Clone(good), 0),
		"no epoch":         append(make([]byte, 32), 0, 0, 0, 0, 0, 0, 0),
		"epoch 0":          edit(33, "\x00"),
		"epochs fall":      edit(33, "\x03"),
		"count of 2^63":    append(make([]byte, 32), 128, 128, 128, 128, 128, 128, 128, 128, 128, 1),
		"long varint":      append(append(bytes.Clone(good[:32]), 0x82, 0), good[33:]...),
		"label not UTF-8":  edit(len(good)-1, "\xff"),
		"too many epochs":  appendSlot(nil, Master{Epochs: make([]Epoch, MaxEpochs+1)}, "", time.Unix(0, 0)),
		"10^9 nanoseconds": edit(32+1+2*36+1, "\x00\xca\x9a\x3b"),
	} {
		if s, err := decodeSlot(p); !objects.IsCorrupt(err) {
			t.Errorf("%s: %+v, %v, want a CorruptError", reason, s, err)
		}
	}
}

func FuzzDecodeSlot(f *testing.F) {
	f.Add(appendSlot(nil, Master{Epochs: []Epoch{{Number: 1}, {Number: 7}}}, "label", time.Unix(9, 8)))
	f.Add(append(make([]byte, 32), strings.Repeat("\x80", 9)+"\x01"...))
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := decodeSlot(p)
		if err != nil {
			return
		}
		if again := appendSlot(nil, s.Master, s.Label, s.Created); !bytes.Equal(again, p) {
			t.Errorf("read % x, which is written % x", p, again)
		}
	})
}

func FuzzDecodePreface(f *testing.F) {
	for _, kdf := range []KDF{NoKDF(), DefaultKDF(), StrongKDF()} {
		p := preface{kdf: kdf, repo: objects.RepositoryID{1}}
		f.Add(append(p.append(nil), make([]byte, slotOverhead)...))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := decodePreface(body)
		if err != nil {
			return
		}
		if again := p.append(nil); !bytes.HasPrefix(body, again) {
			t.Errorf("read % x, which is written % x", body, again)
		}
	})
}

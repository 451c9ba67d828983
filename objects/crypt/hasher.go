package crypt

import (
	"github.com/zeebo/blake3"

	"cairn/objects"
)

// Hasher computes IDs without allocating. It is not for concurrent use: every
// worker has its own, because a blake3 hasher is 11 KiB.
type Hasher struct {
	data, meta *blake3.Hasher
}

// NewHasher returns a Hasher under the family's ID keys.
func (k *Keys) NewHasher() *Hasher {
	return &Hasher{data: newKeyed(k.idData), meta: newKeyed(k.idMeta)}
}

func newKeyed(key Secret) *blake3.Hasher {
	h, err := blake3.NewKeyed(key[:])
	if err != nil {
		panic(err) // a Secret has the length that blake3 wants
	}
	return h
}

// Sum returns the ID of the chunk p (FORMAT.md §6.1). kind must be valid.
func (h *Hasher) Sum(kind objects.Kind, p []byte) objects.ID {
	switch kind {
	case objects.Data:
		h.data.Reset()
		h.data.Write(p)
		return finish(h.data)
	case objects.Meta:
		h.meta.Reset()
		h.meta.Write(p)
		return finish(h.meta)
	}
	panic("crypt: ID of a chunk of " + kind.String())
}

// SumLabel returns the ID, under the key of metadata, of label‖0x00‖p: the
// name of something that is not a chunk.
func (h *Hasher) SumLabel(label string, p []byte) objects.ID {
	h.meta.Reset()
	h.meta.WriteString(label)
	h.meta.WriteString("\x00")
	h.meta.Write(p)
	return finish(h.meta)
}

func finish(b *blake3.Hasher) (id objects.ID) {
	b.Sum(id[:0])
	return id
}

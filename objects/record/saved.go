package record

import (
	"bytes"
	"fmt"
	"io"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

const savedMagic = "cairnsta"

// SealState returns s as a machine keeps it in its cache, so that it need not
// read the commit records again: sealed like they are, for it names archives.
// It is no object of a repository; its form is:
//
//	preface (magic "cairnsta") ‖ box: purpose record, label "state", extra = repository id
//
// with the plaintext generation uvarint, commit [32], snapshot (FORMAT.md §9.2)
// and the headers of the packs that have one: list of (ID [32], bytes) by rising
// ID. Hardly any of it would get smaller by compression.
func SealState(k *crypt.Keys, s *State, random io.Reader) ([]byte, error) {
	repo, payload := k.Repository(), appendState(nil, s)
	sealed, err := k.Seal(appendPreface(nil, savedMagic, k.Origin()), crypt.Record, "state", repo[:], payload, random)
	if err != nil {
		return nil, fmt.Errorf("seal state: %w", err)
	}
	return sealed, nil
}

func appendState(b []byte, s *State) []byte {
	b = wire.AppendUvarint(b, s.Generation)
	b = append(b, s.Commit[:]...)
	snap := s.Snapshot()
	b = appendSnapshot(b, snap)
	var ids []objects.ID // of packs with headers, rising
	for i := range snap.Packs {
		if id := snap.Packs[i].ID; s.Packs[id].Header != nil {
			ids = append(ids, id)
		}
	}
	return appendList(b, ids, func(b []byte, id *objects.ID) []byte {
		return wire.AppendBytes(append(b, id[:]...), s.Packs[*id].Header)
	})
}

// OpenState reads what SealState returned for the same repository. Anything
// else is an *objects.CorruptError, objects.ErrNewer or crypt.ErrNoEpoch.
func OpenState(k *crypt.Keys, sealed []byte) (*State, error) {
	d := wire.NewDecoder(sealed)
	from, err := decodePreface(d, "state", savedMagic)
	if err != nil {
		return nil, err
	}
	repo := k.Repository()
	payload, err := k.Open(nil, from, crypt.Record, "state", repo[:], d.Raw(d.Len()))
	if err != nil {
		return nil, err
	}
	s, err := decodeState(k, payload)
	if err != nil {
		return nil, damaged("state", err)
	}
	return s, nil
}

func decodeState(k *crypt.Keys, payload []byte) (*State, error) {
	d := wire.NewDecoder(payload)
	s, snap := NewState(k), new(Snapshot)
	s.Generation = d.UvarintMax(maxGen)
	d.Fill(s.Commit[:])
	decodeSections(d, snap.decodeSection)
	if (s.Generation == 0) != s.Commit.IsZero() {
		d.Fail(errGeneration)
	}
	s.restore(snap)
	var last objects.ID
	for i := range d.Count(len(last) + 1) {
		var id objects.ID
		d.Fill(id[:])
		if i > 0 && id.Compare(last) <= 0 {
			d.Fail(wire.ErrUnordered)
		}
		last = id
		s.restoreHeader(d, id)
	}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return s, nil
}

// restoreHeader gives a pack the header that follows.
func (s *State) restoreHeader(d *wire.Decoder, id objects.ID) {
	header := bytes.Clone(d.Bytes())
	p, ok := s.Packs[id]
	if !ok || len(header) == 0 || hash(header) != p.HeaderHash {
		d.Fail(errHeader)
	}
	if d.Err() == nil {
		p.Header = header
		s.Packs[id] = p
	}
}

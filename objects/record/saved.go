package record

import (
	"fmt"
	"io"

	"cairn/objects/crypt"
	"cairn/objects/wire"
)

const savedMagic = "cairnsta"

// SealState returns s as a machine keeps it in its cache, so that it need not
// read the commit records again: sealed like they are, for it names archives.
// Pack headers are left out. It is no object of a repository; its form is:
//
//	preface (magic "cairnsta") ‖ box: purpose record, label "state", extra = repository id
//
// with the plaintext of a commit record's box (FORMAT.md §9.2) around the payload
// generation uvarint, commit [32], snapshot.
func SealState(k *crypt.Keys, s *State, random io.Reader) ([]byte, error) {
	plaintext, err := compress(appendState(nil, s))
	if err != nil {
		return nil, fmt.Errorf("seal state: %w", err)
	}
	repo := k.Repository()
	sealed, err := k.Seal(appendPreface(nil, savedMagic, k.Origin()), crypt.Record, "state", repo[:], plaintext, random)
	if err != nil {
		return nil, fmt.Errorf("seal state: %w", err)
	}
	return sealed, nil
}

func appendState(b []byte, s *State) []byte {
	b = wire.AppendUvarint(b, s.Generation)
	b = append(b, s.Commit[:]...)
	return appendSnapshot(b, s.Snapshot())
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
	plaintext, err := k.Open(nil, from, crypt.Record, "state", repo[:], d.Raw(d.Len()))
	if err != nil {
		return nil, err
	}
	payload, err := decompress(plaintext)
	if err != nil {
		return nil, damaged("state", err)
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
	if err := d.Finish(); err != nil {
		return nil, err
	}
	s.restore(snap)
	return s, nil
}

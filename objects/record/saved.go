package record

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

const savedMagic = "cairnst2"

// SealState returns s as a machine keeps it in its cache, so that it need not
// read the commit records again: sealed like they are, for it names archives.
// It is no object of a repository; its form is:
//
//	preface (magic "cairnst2") ‖ box: purpose record, label "state", extra = repository id
//
// with the plaintext
//
//	generation uvarint ‖ commit [32]
//	list of packs by rising ID: ID [32] ‖ kind u8 ‖ length u64 ‖ length of the header u32 ‖ its hash [32]
//	list of condemned IDs [32], rising
//	list of archives: bytes: ID [32] ‖ archive (FORMAT.md §9.4)
//	list of settings by rising name, as in a snapshot, and of its section 8
//	list of the headers of packs that have one: ID [32] ‖ bytes, by rising ID
//
// Every run reads and writes it, so what there may be many of is used as it lies
// there. Hardly any of it would get smaller by compression.
func SealState(k *crypt.Keys, s *State, random io.Reader) ([]byte, error) {
	repo, payload := k.Repository(), appendState(nil, s)
	preface := appendPreface(make([]byte, 0, len(payload)+sealedRoom), savedMagic, k.Origin())
	sealed, err := k.Seal(preface, crypt.Record, "state", repo[:], payload, random)
	if err != nil {
		return nil, fmt.Errorf("seal state: %w", err)
	}
	return sealed, nil
}

const sealedRoom = 128 // bytes, more than preface and box add

func appendState(b []byte, s *State) []byte {
	b = slices.Grow(b, s.savedSize())
	b = wire.AppendUvarint(b, s.Generation)
	b = append(b, s.Commit[:]...)
	b = s.Packs.rows.appendTo(wire.AppendUvarint(b, uint64(s.Packs.Len())))
	b = s.Condemned.rows.appendTo(wire.AppendUvarint(b, uint64(s.Condemned.Len())))
	b = appendList(b, s.Archives.list, func(b []byte, a *[]byte) []byte { return wire.AppendBytes(b, *a) })
	b = appendList(b, s.settings(), appendSetting)
	b = appendList(b, s.Milestones, appendMilestone)
	ids := slices.SortedFunc(maps.Keys(s.Packs.headers), objects.ID.Compare)
	return appendList(b, ids, func(b []byte, id *objects.ID) []byte {
		return wire.AppendBytes(append(b, id[:]...), s.Packs.headers[*id])
	})
}

// savedSize is about how long s gets, bytes.
func (s *State) savedSize() int {
	n := 1<<10 + s.Packs.Len()*packRow + s.Condemned.Len()*idSize + len(s.Milestones)*2*idSize
	for _, a := range s.Archives.list {
		n += len(a) + 2
	}
	for _, h := range s.Packs.headers {
		n += len(h) + 2*idSize
	}
	return n
}

// OpenState reads what SealState returned for the same repository. Anything
// else is an *objects.CorruptError, objects.ErrNewer or crypt.ErrNoEpoch. It keeps
// sealed, and changes it.
func OpenState(k *crypt.Keys, sealed []byte) (*State, error) {
	d := wire.NewDecoder(sealed)
	from, err := decodePreface(d, "state", savedMagic)
	if err != nil {
		return nil, err
	}
	repo := k.Repository()
	payload, err := k.OpenInPlace(from, crypt.Record, "state", repo[:], d.Raw(d.Len()))
	if err != nil {
		return nil, err
	}
	s, err := decodeState(k, payload)
	if err != nil {
		return nil, damaged("state", err)
	}
	return s, nil
}

// decodeState keeps payload, which must not change any more.
func decodeState(k *crypt.Keys, payload []byte) (*State, error) {
	d, s := wire.NewDecoder(payload), NewState(k)
	s.Generation = d.UvarintMax(maxGen)
	d.Fill(s.Commit[:])
	if (s.Generation == 0) != s.Commit.IsZero() {
		d.Fail(errGeneration)
	}
	s.Packs.rows.decode(d)
	s.Condemned.rows.decode(d)
	s.Archives.list = decodeListed(d)
	for _, set := range decodeSettings(d) {
		s.Settings[set.Name] = set.Value
	}
	s.Milestones = decodeMilestones(d)
	s.decodeHeaders(d)
	if err := d.Finish(); err != nil {
		return nil, err
	}
	for row := range s.Packs.rows.all() {
		p := packOf(row)
		if err := p.check(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// decode reads a list of rows, which must be by rising ID.
func (t *table) decode(d *wire.Decoder) {
	t.n = d.Count(t.size)
	t.base = d.Raw(t.n * t.size)
	for i := t.size; i < len(t.base); i += t.size {
		if bytes.Compare(t.base[i-t.size:][:idSize], t.base[i:][:idSize]) >= 0 {
			d.Fail(wire.ErrUnordered)
			return
		}
	}
}

// decodeListed reads archives only to see that it can be done.
func decodeListed(d *wire.Decoder) [][]byte {
	var seen Archive
	return decodeList(d, 1+idSize+minArchiveSize, func(d *wire.Decoder, listed *[]byte) {
		*listed = d.Bytes()
		a := wire.NewDecoder(*listed)
		a.Raw(idSize)
		decodeArchive(a, &seen)
		if err := a.Finish(); err != nil {
			d.Fail(err)
		}
	})
}

func (s *State) decodeHeaders(d *wire.Decoder) {
	var last objects.ID
	for i := range d.Count(idSize + 1) {
		var id objects.ID
		d.Fill(id[:])
		if i > 0 && id.Compare(last) <= 0 {
			d.Fail(wire.ErrUnordered)
		}
		last = id
		p, ok := s.Packs.Get(id)
		p.Header = d.Bytes()
		if !ok || len(p.Header) == 0 || p.check() != nil {
			d.Fail(errHeader)
			return
		}
		s.Packs.headers[id] = p.Header
	}
}

package record

import (
	"bytes"
	"errors"
	"fmt"

	"cairn/objects"
	"cairn/objects/wire"
)

// Sections of a commit record, FORMAT.md §9.2.
const (
	tagPacks     = 1
	tagCondemned = 2
	tagArchives  = 3
	tagRemoved   = 4
	tagSettings  = 5
	tagSnapshot  = 6
	tagBundles   = 8 // 7 is reserved

	tagMilestones = 8 // in a snapshot
)

// Limits of FORMAT.md §7.1, §7.2, §7.4 and §9.3.
const (
	preambleLen  = 40
	maxPack      = 64 << 20
	minHeader    = 49
	maxHeader    = 16 << 20
	minFrame     = 17
	maxHeaders   = 64 << 10 // bytes of headers in one record
	minPackEntry = 32 + 1 + 1 + 1 + 32 + 1
)

var (
	errEmpty      = errors.New("a section is empty")
	errPack       = errors.New("a pack's kind or lengths are out of range")
	errHeader     = errors.New("a pack's header is not the one that its hash names")
	errHeaders    = errors.New("its pack headers are too long")
	errGeneration = errors.New("its generation and the record before it do not go together")
	errMilestone  = errors.New("its list of earlier snapshots is out of order")
	errSnapshot   = errors.New("it lacks the snapshot that its generation must have")
)

// sections collects those that are not empty.
type sections struct {
	n     uint64
	bytes []byte
}

func (s *sections) add(tag uint64, body []byte) {
	s.n++
	s.bytes = wire.AppendBytes(wire.AppendUvarint(s.bytes, tag), body)
}

func (s *sections) append(b []byte) []byte {
	return append(wire.AppendUvarint(b, s.n), s.bytes...)
}

func addList[T any](s *sections, tag uint64, items []T, item func([]byte, *T) []byte) {
	if len(items) > 0 {
		s.add(tag, appendList(nil, items, item))
	}
}

func appendPayload(b []byte, c *Commit) []byte {
	b = wire.AppendUvarint(b, c.Generation)
	b = append(b, c.Prev[:]...)
	b = wire.AppendTime(b, c.Made)
	b = wire.AppendBytes(b, c.Host)
	b = wire.AppendBytes(b, c.User)
	var s sections
	addList(&s, tagPacks, c.Packs, appendPack)
	addList(&s, tagCondemned, c.Condemned, appendID)
	addList(&s, tagArchives, c.Archives, appendArchive)
	addList(&s, tagRemoved, c.Removed, appendID)
	addList(&s, tagSettings, c.Settings, appendSetting)
	if c.Snapshot != nil {
		s.add(tagSnapshot, appendSnapshot(nil, c.Snapshot))
	}
	addList(&s, tagBundles, c.Bundles, appendID)
	return s.append(b)
}

func appendSnapshot(b []byte, snap *Snapshot) []byte {
	var s sections
	addList(&s, tagPacks, snap.Packs, appendPack)
	addList(&s, tagCondemned, snap.Condemned, appendID)
	addList(&s, tagArchives, snap.Archives, appendArchive)
	addList(&s, tagSettings, snap.Settings, appendSetting)
	addList(&s, tagMilestones, snap.Milestones, appendMilestone)
	return s.append(b)
}

func appendMilestone(b []byte, m *Milestone) []byte {
	return append(wire.AppendUvarint(b, m.Generation), m.Commit[:]...)
}

func appendPack(b []byte, p *Pack) []byte {
	b = append(b, p.ID[:]...)
	b = append(b, byte(p.Kind))
	b = wire.AppendUvarint(b, p.Length)
	b = wire.AppendUvarint(b, uint64(p.HeaderLen))
	b = append(b, p.HeaderHash[:]...)
	return wire.AppendBytes(b, p.Header)
}

func appendSetting(b []byte, s *Setting) []byte {
	return wire.AppendBytes(wire.AppendBytes(b, s.Name), s.Value)
}

// decodePayload reads the payload of a commit record. The result shares no
// memory with payload. An unknown section is objects.ErrNewer.
func decodePayload(payload []byte) (*Commit, error) {
	d := wire.NewDecoder(payload)
	c := &Commit{Generation: d.UvarintMax(maxGen)}
	d.Fill(c.Prev[:])
	c.Made = d.Time()
	decodeStrings(d, &c.Host, &c.User)
	if (c.Generation == 1) != c.Prev.IsZero() || c.Generation == 0 {
		d.Fail(errGeneration)
	}
	decodeSections(d, c.decodeSection)
	if c.Generation%SnapshotEvery == 0 && c.Snapshot == nil {
		d.Fail(errSnapshot)
	}
	if snap := c.Snapshot; snap != nil && len(snap.Milestones) > 0 && snap.Milestones[len(snap.Milestones)-1].Generation >= c.Generation {
		d.Fail(errMilestone)
	}
	if headerBytes(c.Packs) > maxHeaders {
		d.Fail(errHeaders)
	}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return c, nil
}

// decodeSections reads a list of sections and hands each to section, which
// must read all of it, and says whether it knows the tag.
func decodeSections(d *wire.Decoder, section func(tag uint64, d *wire.Decoder) bool) {
	var last uint64
	for i := range d.Count(3) { // tag, length and at least one byte
		tag, body := d.Uvarint(), d.Bytes()
		if i > 0 && tag <= last {
			d.Fail(wire.ErrUnordered)
		}
		if d.Err() != nil {
			return
		}
		last = tag
		s := wire.NewDecoder(body)
		if !section(tag, s) {
			d.Fail(fmt.Errorf("section %d is not known: %w", tag, objects.ErrNewer))
			return
		}
		if err := s.Finish(); err != nil {
			d.Fail(fmt.Errorf("section %d: %w", tag, err))
			return
		}
	}
}

func (c *Commit) decodeSection(tag uint64, d *wire.Decoder) bool {
	switch tag {
	case tagPacks:
		c.Packs = filled(d, minPackEntry, decodePack)
	case tagCondemned:
		c.Condemned = filled(d, len(objects.ID{}), decodeID)
	case tagArchives:
		c.Archives = filled(d, minArchiveSize, decodeArchive)
	case tagRemoved:
		c.Removed = filled(d, len(objects.ID{}), decodeID)
	case tagSettings:
		c.Settings = notEmpty(d, decodeSettings(d))
	case tagSnapshot:
		c.Snapshot = new(Snapshot)
		decodeSections(d, c.Snapshot.decodeSection)
	case tagBundles:
		c.Bundles = filled(d, len(objects.ID{}), decodeID)
	default:
		return false
	}
	return true
}

func (s *Snapshot) decodeSection(tag uint64, d *wire.Decoder) bool {
	switch tag {
	case tagPacks:
		s.Packs = filled(d, minPackEntry, decodePack)
		if headerBytes(s.Packs) > 0 {
			d.Fail(errHeaders)
		}
	case tagCondemned:
		s.Condemned = filled(d, len(objects.ID{}), decodeID)
	case tagArchives:
		s.Archives = filled(d, minArchiveSize, decodeArchive)
	case tagSettings:
		s.Settings = notEmpty(d, decodeSettings(d))
	case tagMilestones:
		s.Milestones = notEmpty(d, decodeMilestones(d))
	default:
		return false
	}
	return true
}

func decodeMilestones(d *wire.Decoder) []Milestone {
	var last uint64
	return decodeList(d, 1+len(objects.ID{}), func(d *wire.Decoder, m *Milestone) {
		m.Generation = d.UvarintMax(maxGen)
		d.Fill(m.Commit[:])
		if m.Generation <= last || m.Generation%SnapshotEvery != 0 || m.Commit.IsZero() {
			d.Fail(errMilestone)
		}
		last = m.Generation
	})
}

// filled reads a list that must not be empty.
func filled[T any](d *wire.Decoder, size int, item func(*wire.Decoder, *T)) []T {
	return notEmpty(d, decodeList(d, size, item))
}

func notEmpty[T any](d *wire.Decoder, items []T) []T {
	if len(items) == 0 {
		d.Fail(errEmpty)
	}
	return items
}

func decodePack(d *wire.Decoder, p *Pack) {
	d.Fill(p.ID[:])
	p.Kind = objects.Kind(d.U8())
	p.Length = d.UvarintMax(maxPack)
	p.HeaderLen = uint32(d.UvarintMax(maxHeader))
	d.Fill(p.HeaderHash[:])
	p.Header = bytes.Clone(d.Bytes())
	if len(p.Header) == 0 {
		p.Header = nil
	}
	if err := p.check(); err != nil {
		d.Fail(err)
	}
}

// check returns an error if p cannot be a pack.
func (p *Pack) check() error {
	prefix := preambleLen + uint64(p.HeaderLen)
	if !p.Kind.Valid() || p.HeaderLen < minHeader || p.HeaderLen > maxHeader || p.Length < prefix+minFrame+preambleLen || p.Length > maxPack {
		return errPack
	}
	if p.Header != nil && (uint64(len(p.Header)) != prefix || hash(p.Header) != p.HeaderHash) {
		return errHeader
	}
	return nil
}

func headerBytes(packs []Pack) int {
	n := 0
	for i := range packs {
		n += len(packs[i].Header)
	}
	return n
}

func decodeSettings(d *wire.Decoder) []Setting {
	settings := decodeList(d, 2, func(d *wire.Decoder, s *Setting) {
		decodeString(d, &s.Name)
		s.Value = append([]byte{}, d.Bytes()...)
	})
	for i := 1; i < len(settings); i++ {
		if settings[i].Name <= settings[i-1].Name {
			d.Fail(wire.ErrUnordered)
		}
	}
	return settings
}

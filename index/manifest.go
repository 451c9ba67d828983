package index

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"cairn/objects"
	"cairn/objects/wire"
)

const (
	manifestMagic   = "cairnman"
	manifestVersion = 1
	manifestRuns    = 256     // at most
	manifestLimit   = 1 << 14 // bytes
)

// State is what a cache stands for: all packs that the commit records up to a
// generation name. The zero State stands for nothing.
type State struct {
	Generation uint64
	Commit     objects.ID // of the newest of those records
}

// Found says what Open met.
type Found uint8

const (
	Intact  Found = iota // a cache that can be used
	Missing              // none
	Damaged              // one that was cut short or rotten
	Foreign              // one of another repository
	Newer                // one in a format of a newer version of cairn
)

// String returns a word for people.
func (f Found) String() string {
	switch f {
	case Intact:
		return "intact"
	case Missing:
		return "missing"
	case Damaged:
		return "damaged"
	case Foreign:
		return "of another repository"
	case Newer:
		return "of a newer version of cairn"
	}
	return fmt.Sprintf("found %d", uint8(f))
}

// runName is what the manifest knows of a run: a number drawn for it, of which
// its file is named, and the checksum of its header page.
type runName struct {
	salt, check uint64
}

// manifest is the file that makes a set of runs the cache:
//
//	magic [8] · version u16 · repository [16] · generation u64 · commit [32] ·
//	runs: list of (salt u64, check u64) · XXH3 u64 of all bytes before
type manifest struct {
	state State
	runs  []runName
}

func (m manifest) encode(repo objects.RepositoryID) []byte {
	b := append([]byte(nil), manifestMagic...)
	b = wire.AppendU16(b, manifestVersion)
	b = append(b, repo[:]...)
	b = wire.AppendU64(b, m.state.Generation)
	b = append(b, m.state.Commit[:]...)
	b = wire.AppendUvarint(b, uint64(len(m.runs)))
	for _, r := range m.runs {
		b = wire.AppendU64(wire.AppendU64(b, r.salt), r.check)
	}
	return wire.AppendU64(b, xxh3.Hash(b))
}

// decodeManifest reads what encode writes; anything else is not Intact.
func decodeManifest(p []byte, repo objects.RepositoryID) (manifest, Found) {
	d := wire.NewDecoder(p)
	if string(d.Raw(len(manifestMagic))) != manifestMagic {
		return manifest{}, Damaged
	}
	if v := d.U16(); d.Err() == nil && v > manifestVersion {
		return manifest{}, Newer
	} else if v != manifestVersion {
		return manifest{}, Damaged
	}
	// The magic and the version are there, so there are eight bytes.
	body := p[:len(p)-8]
	if xxh3.Hash(body) != binary.LittleEndian.Uint64(p[len(body):]) {
		return manifest{}, Damaged
	}
	var m manifest
	var owner objects.RepositoryID
	d.Fill(owner[:])
	m.state.Generation = d.U64()
	d.Fill(m.state.Commit[:])
	n := d.UvarintMax(manifestRuns)
	for i := uint64(0); i < n && d.Err() == nil; i++ {
		m.runs = append(m.runs, runName{salt: d.U64(), check: d.U64()})
	}
	d.U64()
	if d.Finish() != nil {
		return manifest{}, Damaged
	}
	if owner != repo {
		return manifest{}, Foreign
	}
	return m, Intact
}

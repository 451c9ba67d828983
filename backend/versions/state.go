package versions

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"cairn/backend"
)

// maxVersion is the greatest number that fits the file's name.
const maxVersion version = 999_999_999_999

// A version numbers the register's values, from 1.
type version uint64

func (v version) file() string { return fmt.Sprintf("v%012d", uint64(v)) }

// parseVersion reads the name of a version's file.
func parseVersion(name string) (version, bool) {
	digits, ok := strings.CutPrefix(name, "v")
	n, err := strconv.ParseUint(digits, 10, 64)
	v := version(n)
	return v, ok && err == nil && v > 0 && v.file() == name
}

// A state is what a tag stands for: a version and its exact bytes. The zero
// state is the cell that was never written.
type state struct {
	version version
	sum     [sha256.Size]byte
}

func stateOf(v version, value []byte) state { return state{v, sha256.Sum256(value)} }

func (s state) tag() backend.Tag {
	return backend.Tag(fmt.Sprintf("%d-%x", uint64(s.version), s.sum))
}

// parseTag reads a tag of this package, the empty one included.
func parseTag(tag backend.Tag) (state, error) {
	if tag == "" {
		return state{}, nil
	}
	number, digits, _ := strings.Cut(string(tag), "-")
	n, numberErr := strconv.ParseUint(number, 10, 64)
	sum, sumErr := hex.DecodeString(digits)
	s := state{version: version(n)}
	copy(s.sum[:], sum)
	if numberErr != nil || sumErr != nil || s.version == 0 || s.version > maxVersion || s.tag() != tag {
		return state{}, fmt.Errorf("%w: tag %q", backend.ErrInvalid, string(tag))
	}
	return s, nil
}

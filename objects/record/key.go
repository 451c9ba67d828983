package record

import (
	"fmt"
	"strconv"
	"strings"

	"cairn/objects"
)

const (
	commitPrefix = "commits/"
	genDigits    = 12
	maxGen       = 1e12 - 1
)

// CommitKey returns the key of a commit record (FORMAT.md §2). gen must be
// below 10^12, which Encode sees to.
func CommitKey(gen uint64, id objects.ID) string {
	return fmt.Sprintf("%s%0*d-%v", commitPrefix, genDigits, gen, id)
}

// ParseCommitKey reads exactly what CommitKey writes.
func ParseCommitKey(key string) (gen uint64, id objects.ID, err error) {
	name, ok := strings.CutPrefix(key, commitPrefix)
	digits, hex, dash := strings.Cut(name, "-")
	if !ok || !dash || len(digits) != genDigits {
		return 0, objects.ID{}, fmt.Errorf("%q is not the key of a commit record", key)
	}
	if gen, err = strconv.ParseUint(digits, 10, 64); err != nil {
		return 0, objects.ID{}, fmt.Errorf("%q is not the key of a commit record: %w", key, err)
	}
	if id, err = objects.ParseID(hex); err != nil {
		return 0, objects.ID{}, fmt.Errorf("%q is not the key of a commit record: %w", key, err)
	}
	return gen, id, nil
}

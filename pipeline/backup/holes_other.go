//go:build !linux

package backup

import "os"

// nextData takes the rest of the file for data.
func nextData(_ *os.File, at, size int64) (from, to int64, err error) { return at, size, nil }

//go:build linux && (386 || arm || mips || mipsle)

package mount

import (
	"context"
	"errors"
)

// go-fuse does not build for these systems.
var errUnsupported = errors.New("archives cannot be mounted on 32-bit Linux: cairn restore and cairn export-tar bring them back")

// Mounted is a directory that shows archives. There is none here.
type Mounted struct{}

// New answers that nothing can be mounted here.
func New(context.Context, string, Source, Options) (*Mounted, error) { return nil, errUnsupported }

// Wait answers that nothing can be mounted here.
func (*Mounted) Wait(context.Context, func() error) error { return errUnsupported }

// Unmount answers that nothing can be mounted here.
func Unmount(string) error { return errUnsupported }

//go:build !linux && !freebsd

package restore

import "errors"

var errNode = errors.New("devices and fifos are not restored on this system")

func makeNode(int, string, uint32, uint32, uint32) error { return errNode }

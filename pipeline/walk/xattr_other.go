//go:build freebsd || darwin

package walk

import "os"

// Xattrs returns nothing on this system.
func (it *Item) Xattrs() ([]Xattr, []error) { return nil, nil }

// FileXattrs returns nothing on this system.
func FileXattrs(*os.File) ([]Xattr, []error) { return nil, nil }

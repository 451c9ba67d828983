package tarball

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// ErrCompression says that a tar file is compressed in a way that cairn leaves
// to others.
var ErrCompression = errors.New("compression that cairn does not know")

// Compress returns a writer that compresses as the suffix of a file's name asks
// for: .gz, .tgz, .zst, .tzst, or not at all. Closing it leaves w open. What
// other programs are for is ErrCompression.
func Compress(w io.Writer, name string) (io.WriteCloser, error) {
	name = strings.ToLower(name)
	for _, suffix := range []string{".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".lz", ".lzma", ".lz4", ".lzo", ".br", ".z"} {
		if strings.HasSuffix(name, suffix) {
			return nil, fmt.Errorf("%w: %s", ErrCompression, suffix)
		}
	}
	switch {
	case strings.HasSuffix(name, ".gz"), strings.HasSuffix(name, ".tgz"):
		return gzip.NewWriter(w), nil
	case strings.HasSuffix(name, ".zst"), strings.HasSuffix(name, ".tzst"):
		return zstd.NewWriter(w)
	}
	return plain{w}, nil
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

package tarball

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// windowMax is how far back compressed data may refer, bytes: as far as zstd
// does unless it is asked for more.
const windowMax = 128 << 20

// decompress returns what b holds, whether it is compressed or not: gzip, zstd
// and bzip2 are known by their first bytes. What other programs are for is
// ErrCompression. Done frees what the reader needs.
func decompress(b *bufio.Reader) (plain io.Reader, done func(), err error) {
	done = func() {}
	head, err := b.Peek(6)
	if err != nil && err != io.EOF {
		return nil, done, err
	}
	has := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case has("\x1f\x8b"):
		plain, err = gzip.NewReader(b)
		return plain, done, err
	case has("\x28\xb5\x2f\xfd"):
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(windowMax), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, done, err
		}
		return z, z.Close, nil
	case has("BZh"):
		return bzip2.NewReader(b), done, nil
	}
	for _, other := range []struct{ magic, name string }{
		{"\xfd7zXZ\x00", "xz"}, {"\x04\x22\x4d\x18", "lz4"}, {"LZIP", "lzip"}, {"\x1f\x9d", "compress"}, {"\x89LZO\x00", "lzop"},
	} {
		if has(other.magic) {
			return nil, done, fmt.Errorf("%w: %s", ErrCompression, other.name)
		}
	}
	return b, done, nil
}

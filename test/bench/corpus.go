package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

const (
	region        = 64 << 10 // bytes overwritten at once
	regionsShare  = 50       // one region in so many is overwritten
	insertions    = 100      // into the file that is shifted
	insertedBytes = 3
	fewFiles      = 10
	tinyDir       = 100     // files in a directory
	tinyMax       = 4 << 10 // bytes
)

// A corpus is something to back up.
type corpus struct {
	name  string
	paths []string // absolute
	extent

	original string // the image that paths has a copy of, if it is one
	disk     string // that copy
}

// extent is how much there is at some place.
type extent struct{ bytes, files int64 }

// measureExtent counts the regular files below paths.
func measureExtent(paths ...string) (extent, error) {
	var x extent
	err := eachFile(paths, func(_ string, info fs.FileInfo) error {
		x.files++
		x.bytes += info.Size()
		return nil
	})
	return x, err
}

func eachFile(paths []string, f func(path string, info fs.FileInfo) error) error {
	for _, path := range paths {
		err := filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			return f(path, info)
		})
		if err != nil {
			return fmt.Errorf("read corpus: %w", err)
		}
	}
	return nil
}

// measure finds out how much c is.
func (c *corpus) measure() (err error) {
	c.extent, err = measureExtent(c.paths...)
	return err
}

// warm reads everything once, so that no tool is the first.
func (c *corpus) warm(ctx context.Context) error {
	return eachFile(c.paths, func(path string, _ fs.FileInfo) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(io.Discard, f)
		return err
	})
}

// phases returns what is measured with c.
func (c *corpus) phases() []phase {
	if c.disk == "" {
		return []phase{first, unchanged, restored}
	}
	return []phase{first, unchanged, changed, restored}
}

// overwrite changes a part of the disk image.
func (c *corpus) overwrite(from io.ReaderAt) error {
	if err := overwrite(c.disk, regions(c.bytes), from); err != nil {
		return fmt.Errorf("change image: %w", err)
	}
	return touch(c.paths[0])
}

// verify looks at what a restore brought back. Few files are removed: that
// makes no file system slow.
func (c *corpus) verify(j job) error {
	got, err := measureExtent(j.at.target())
	if err != nil {
		return err
	}
	if got != c.extent {
		return fmt.Errorf("%s restored %d bytes in %d files, want %d in %d", j.tool.name, got.bytes, got.files, c.bytes, c.files)
	}
	if got.files > fewFiles {
		return nil
	}
	return os.RemoveAll(j.at.target())
}

// putBack makes the disk image, if there is one, what it was.
func (c *corpus) putBack() error {
	if c.disk == "" {
		return nil
	}
	original, err := os.Open(c.original)
	if err != nil {
		return err
	}
	defer original.Close()
	return c.overwrite(original)
}

// touch makes a file that is younger than the rest of the corpus: borg always
// reads the youngest file again.
func touch(dir string) error {
	return os.WriteFile(filepath.Join(dir, "youngest"), nil, 0o600)
}

// copyFile copies with cp, which keeps holes.
func copyFile(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "--", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}

// regions chooses those of a file of n bytes that are overwritten, by offset.
func regions(n int64) []int64 {
	total := n / region
	chosen := map[int64]bool{}
	random := rand.New(rand.NewPCG(uint64(total), 1))
	for int64(len(chosen)) < min(total, total/regionsShare+1) {
		chosen[random.Int64N(total)*region] = true
	}
	offsets := make([]int64, 0, len(chosen))
	for off := range chosen {
		offsets = append(offsets, off)
	}
	slices.Sort(offsets)
	return offsets
}

// overwrite takes the regions at offsets of the file at path from from.
func overwrite(path string, offsets []int64, from io.ReaderAt) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	buffer := make([]byte, region)
	for _, off := range offsets {
		if _, err := from.ReadAt(buffer, off); err != nil {
			return fmt.Errorf("read region: %w", err)
		}
		if _, err := f.WriteAt(buffer, off); err != nil {
			return err
		}
	}
	return f.Close()
}

// noise is incompressible and the same for every run: a reader of its own
// stream, and of another one at each offset.
type noise struct{ seed uint64 }

func (n noise) from(off int64) io.Reader {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], n.seed)
	binary.LittleEndian.PutUint64(seed[8:], uint64(off))
	return rand.NewChaCha8(seed)
}

// ReadAt implements io.ReaderAt.
func (n noise) ReadAt(p []byte, off int64) (int, error) { return io.ReadFull(n.from(off), p) }

// writeFile writes a file of bytes from the stream of n.
func (n noise) writeFile(path string, bytes int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, n.from(0), bytes)
	return errors.Join(err, f.Close())
}

// writeNoise writes a file of n bytes, into which shifts insertions are made.
func writeNoise(path string, n int64, shifts int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	random := rand.New(rand.NewPCG(uint64(n), 2))
	cuts := []int64{n}
	for range shifts {
		cuts = append(cuts, random.Int64N(n+1))
	}
	slices.Sort(cuts)
	content, inserted := noise{1}.from(0), noise{2}.from(0)
	done := int64(0)
	for i, cut := range cuts {
		if _, err := io.CopyN(f, content, cut-done); err != nil {
			return err
		}
		if i < shifts {
			if _, err := io.CopyN(f, inserted, insertedBytes); err != nil {
				return err
			}
		}
		done = cut
	}
	return f.Close()
}

// writeTiny makes n files of English-like text below dir.
func writeTiny(ctx context.Context, dir string, n int) error {
	random := rand.New(rand.NewPCG(uint64(n), 3))
	words := make([]string, 5000)
	for i := range words {
		for range 2 + random.IntN(8) {
			words[i] += string(rune('a' + random.IntN(26)))
		}
	}
	for i := range n {
		path := tinyPath(dir, i)
		if i%tinyDir == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
		}
		if err := writeText(path, random, words); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// tinyPath returns where file i of those is that writeTiny makes.
func tinyPath(dir string, i int) string {
	return filepath.Join(dir, strconv.Itoa(i/tinyDir), strconv.Itoa(i))
}

func writeText(path string, random *rand.Rand, words []string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 2*tinyMax)
	for limit := random.IntN(tinyMax); w.Buffered() < limit; {
		// Few words are frequent, as in a language.
		fmt.Fprintf(w, "%s ", words[int(float64(len(words))*random.Float64()*random.Float64()*random.Float64())])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

package tarball

import (
	"bytes"
	"fmt"
	"strconv"

	"cairn/objects/archive"
)

// holes is what a map of the data of a sparse file will be: GNU sparse 1.0.
type holes struct {
	sparse bool   // there are holes
	runs   uint64 // of data, an empty one at the end if a hole is last
	text   uint64 // bytes of their numbers, newlines included
	data   uint64 // bytes of all runs
}

// length returns how many bytes the map takes.
func (m *holes) length() uint64 {
	n := m.text + uint64(len(strconv.FormatUint(m.runs, 10))) + 1
	return (n + block - 1) / block * block
}

// runs calls each with every run of data of a file, in order, and with an empty
// one at the end if a hole is last. What cannot be read counts as data.
func (e *exporter) runs(entry *archive.Entry, each func(off, n uint64) error) (sparse bool, err error) {
	at, begin := uint64(0), uint64(0) // the place, and where the run that it is in began
	for x, err := range e.lists.Extents(&entry.Content) {
		if err == nil && x.Hole {
			sparse = true
			if at > begin {
				if err := each(begin, at-begin); err != nil {
					return sparse, err
				}
			}
			begin = at + x.Len
		}
		at += x.Len
	}
	if at > begin || sparse {
		return sparse, each(begin, at-begin)
	}
	return sparse, nil
}

// holes finds out what the map of a file will be.
func (e *exporter) holes(entry *archive.Entry) *holes {
	m := new(holes)
	m.sparse, _ = e.runs(entry, func(off, n uint64) error { // which never fails
		m.runs++
		m.text += uint64(len(fmt.Sprintf("%d\n%d\n", off, n)))
		m.data += n
		return nil
	})
	return m
}

// writeMap writes the map in front of a sparse file's data.
func (e *exporter) writeMap(m *holes, entry *archive.Entry) error {
	var b bytes.Buffer
	written := uint64(0)
	fmt.Fprintf(&b, "%d\n", m.runs)
	flush := func() error {
		written += uint64(b.Len())
		_, err := e.out.Write(b.Bytes())
		b.Reset()
		return err
	}
	_, err := e.runs(entry, func(off, n uint64) error {
		fmt.Fprintf(&b, "%d\n%d\n", off, n)
		if b.Len() < 32<<10 {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	if written > m.length() {
		return errUnequal
	}
	b.Write(make([]byte, m.length()-written))
	return flush()
}

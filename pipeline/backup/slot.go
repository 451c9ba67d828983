package backup

import (
	"slices"

	"cairn/objects/archive"
	"cairn/pipeline/walk"
)

// A slot is one place in the archive's order. The scan makes slots in order;
// the assembly takes them in the same order, waiting for each to be ready, so
// that no lock and no sorting is needed in between.
type slot struct {
	entry *archive.Entry
	path  string // of the source, for people

	// At most one of these is set; with none the entry is complete.
	batch *batch  // a small file, read with its neighbours
	big   *bigJob // a file of its own
	twin  *twin   // a further name of a file that an earlier slot reads

	// set is where further names of this file look for its entry.
	set *linkSet

	status   Status         // as of the scan
	why      Difference     // why it is not as the archive before has it
	old      *archive.Entry // what the archive before says, for Options.SkipUnchanged
	timeless bool           // its times do not tell whether it has changed

	grown  bool // the batch found that the file is not for it; written before the slot is ready
	failed bool // the entry is left out; written before the slot is ready
}

// A linkSet is what several slots, names of one file, share.
type linkSet struct {
	id    archive.Link
	stat  walk.Stat      // as of the first name
	left  uint64         // names that the scan has not seen yet; the scan's
	entry *archive.Entry // of the first name, once it is in the archive; the assembly's
}

// A twin is a further name: it has all that belongs to the file from the first
// one, or is read itself if that failed.
type twin struct {
	set  *linkSet
	file source
}

// A batch is a group of small files that one worker reads in one go.
type batch struct {
	slots []*slot
	files []source

	opened []opened // of each file, once the batch is on its way to a worker
	bytes  int64
	done   chan struct{} // closed when every slot of the batch is ready
}

// file returns where s is read from.
func (b *batch) file(s *slot) source { return b.files[slices.Index(b.slots, s)] }

// A bigJob is a file whose pieces several workers store at the same time.
// The reader sends segments in order and closes the channel; result is valid
// then.
type bigJob struct {
	file     source
	segments chan *segment
	result   readResult
}

// A segment is a stretch of a big file that one worker stores.
type segment struct {
	restart bool // the file changed: forget the segments before this one

	buffer  *buffer // nil when the segment has no data
	data    []byte  // the chunks, one behind another; aliases buffer
	extents []archive.Extent
	done    chan struct{} // closed when the extents have their IDs
}

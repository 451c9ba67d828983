package pack

const (
	probeSamples = 4
	probeLen     = 1 << 10 // of a sample, bytes
	probeMin     = 256     // of a chunk, bytes
)

// Compressible reports whether chunk looks as if compressing it might pay. It
// is a guess of a few microseconds, from the bytes that occur in four samples:
// what is compressed or encrypted already has all bytes about equally often.
// A chunk under 256 bytes has too few to tell, and is worth a try.
func Compressible(chunk []byte) bool {
	if len(chunk) < probeMin {
		return true
	}
	var count [256]uint32
	n := probe(&count, chunk)
	return skewed(&count, n)
}

// probe counts the bytes of four samples spread over chunk, or of all of it
// when it is short, and returns how many it counted.
func probe(count *[256]uint32, chunk []byte) uint64 {
	if len(chunk) <= probeSamples*probeLen {
		return tally(count, chunk)
	}
	var n uint64
	stride := (len(chunk) - probeLen) / (probeSamples - 1)
	for i := range probeSamples {
		n += tally(count, chunk[i*stride:][:probeLen])
	}
	return n
}

func tally(count *[256]uint32, p []byte) uint64 {
	for _, c := range p {
		count[c]++
	}
	return uint64(len(p))
}

// skewed reports whether the bytes counted are further from uniform than
// compressed data ever is. Drawn twice, the same byte comes up with a chance
// of 1/256 if all are equally likely, and of more if not; the estimate of that
// chance is pairs/(n(n-1)). The limit is 1.25/256: probe_test.go shows the
// files it was set on.
func skewed(count *[256]uint32, n uint64) bool {
	var pairs uint64
	for _, c := range count {
		pairs += uint64(c) * (uint64(c) - 1)
	}
	return pairs*256*4 > n*(n-1)*5
}

package chunker

// A finder returns the first position i, from ≤ i < to, at which the hash is
// zero under mask, or -1 if there is none. It reads nothing before
// from-window+1 nor at or after to; if from < to, both ends of that range must
// lie in data. Mask contains commonMask.
//
// There are three, equal in every result: findOne is the definition,
// inLanes(findPair) the fastest portable one, inLanes(findPairAVX2) the one for
// amd64.
type finder func(g *gear, data []byte, from, to int, mask uint64) int

// A pairFinder is a finder over two neighbouring lanes of n bytes each, the
// first of which begins at from; n is a positive multiple of laneStep.
type pairFinder func(g *gear, data []byte, from, n int, mask uint64) int

// findOne is the reference: one position after another.
func findOne(g *gear, data []byte, from, to int, mask uint64) int {
	if from >= to {
		return -1
	}
	h := g.warm(data, from)
	for i, b := range data[from:to] {
		h = h<<1 + g.table[b]
		if h&mask == 0 {
			return from + i
		}
	}
	return -1
}

// warm returns what the window-1 bytes before position from contribute to the
// hash there, so that the next step of the hash is the one for from.
func (g *gear) warm(data []byte, from int) uint64 {
	var h uint64
	for _, b := range data[from-(window-1) : from] {
		h = h<<1 + g.table[b]
	}
	return h
}

const (
	// laneSize bounds the length of a lane, bytes. What is scanned behind a cut
	// is scanned in vain, so it is small against the smallest unit; it is large
	// against the warming up of a lane.
	laneSize = 4 << 10

	// laneStep divides the length of every lane, bytes.
	laneStep = 32
)

// inLanes returns the finder that scans pair after pair, and with findOne what
// is too short for two lanes.
func inLanes(find pairFinder) finder {
	return func(g *gear, data []byte, from, to int, mask uint64) int {
		for to-from >= 2*laneStep {
			n := min(laneSize, (to-from)/2) &^ (laneStep - 1)
			if i := find(g, data, from, n, mask); i >= 0 {
				return i
			}
			from += 2 * n
		}
		return findOne(g, data, from, to, mask)
	}
}

// findPair hashes the lanes in turn, so that neither waits for its own previous
// step.
func findPair(g *gear, data []byte, from, n int, mask uint64) int {
	lane0, lane1 := data[from:from+n], data[from+n:from+2*n]
	h0, h1 := g.warm(data, from), g.warm(data, from+n)
	for i := 0; i < len(lane0) && i < len(lane1); i++ {
		h0 = h0<<1 + g.table[lane0[i]]
		h1 = h1<<1 + g.table[lane1[i]]
		if h0&mask == 0 {
			return from + i
		}
		if h1&mask == 0 {
			// This one counts only if the rest of lane 0 has none.
			if cut := findOne(g, data, from+i+1, from+n, mask); cut >= 0 {
				return cut
			}
			return from + n + i
		}
	}
	return -1
}

//go:build !purego

package chunker

import "github.com/klauspost/cpuid/v2"

// fastestFinder returns the best finder this machine can run.
func fastestFinder() finder {
	if cpuid.CPU.Supports(cpuid.AVX2) {
		return inLanes(findPairAVX2)
	}
	return inLanes(findPair)
}

// findPairAVX2 scans the low 16 bits of the hash in both lanes at once, 32 bytes
// of each at a time, and leaves the few of these with a zero under the common
// bits to the reference.
func findPairAVX2(g *gear, data []byte, from, n int, mask uint64) int {
	lane0, lane1 := data[from-16:from+n], data[from+n-16:from+2*n]
	in1 := -1
	for i := 0; i < n; i += laneStep {
		skip, hits := scanAVX2(&g.nibbles, &lane0[i], &lane1[i], n-i)
		i += skip
		if hits&0x0000ffff != 0 {
			if cut := findOne(g, data, from+i, from+i+laneStep, mask); cut >= 0 {
				return cut
			}
		}
		// A cut in lane 1 counts only once lane 0 is known to have none.
		if hits&0xffff0000 != 0 && in1 < 0 {
			in1 = findOne(g, data, from+n+i, from+n+i+laneStep, mask)
		}
	}
	return in1
}

// scanAVX2 looks for positions at which the common bits of the hash are zero in
// two lanes of n bytes; n is a positive multiple of 32. The pointers lead to the
// 16 bytes in front of each lane. It returns the offset of the first 32 bytes
// that have such a position, n if none has, and where: a bit of the low half of
// hits is set if lane 0 has one there, a bit of the high half if lane 1 has.
//
//go:noescape
func scanAVX2(t *nibbles, lane0, lane1 *byte, n int) (skip int, hits uint32)

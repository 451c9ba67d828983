//go:build !purego

package chunker

import "github.com/klauspost/cpuid/v2"

func vectorFinders() []namedFinder {
	if !cpuid.CPU.Supports(cpuid.AVX2) {
		return nil
	}
	return []namedFinder{{"avx2", inLanes(findPairAVX2)}}
}

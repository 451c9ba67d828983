//go:build !amd64 || purego

package chunker

// fastestFinder returns the best finder this machine can run.
func fastestFinder() finder { return inLanes(findPair) }

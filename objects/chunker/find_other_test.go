//go:build !amd64 || purego

package chunker

func vectorFinders() []namedFinder { return nil }

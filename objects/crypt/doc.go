// Package crypt holds the keys of a repository and everything that is sealed
// or named with them: boxes, chunk IDs, key slots and key files
// (FORMAT.md §3 and §5). Frames have keys of their own, made by package pack.
package crypt

// Package pack makes and reads packs, the immutable objects that hold chunks
// (FORMAT.md §7).
//
// A pack is a row of frames and a sealed header that finds them. A frame is
// what is compressed and sealed as one: neighbouring chunks of one kind. To
// write, a Compressor shrinks each frame, a Builder seals frames into a pack
// from several goroutines at once, and Finish closes it. To read, OpenHeader
// yields the frames and chunks of a pack from its first bytes, an Opener turns
// the stored bytes of a frame into plaintext, and Verify holds the plaintext
// against the IDs of its chunks.
package pack

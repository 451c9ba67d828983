// Package chunker cuts a stream of bytes into chunks.
//
// [Chunker] cuts where the content says so, so that bytes inserted or removed
// change the chunks around them and no others. [Fixed] cuts at every multiple
// of one size, for data that is only ever overwritten in place.
//
// # Definition
//
// All integers are unsigned; x << n and + are taken modulo 2^64; bit 0 is the
// least significant.
//
// Gear table. T is the first 1600 bytes of the extended output of keyed BLAKE3
// with the repository's 32-byte cdc key over the ASCII string
//
//	cairn/1 chunker gear table
//
// T holds, all little-endian, 16 words A[0..15] of 16 bits (bytes 0 to 31), 16
// words B[0..15] of 16 bits (bytes 32 to 63), and 256 words C[0..255] of 48
// bits (C[b] is bytes 64+6b to 69+6b). For a byte b
//
//	G[b] = C[b] << 16 | (A[b & 15] xor B[b >> 4])
//
// Hash. At position i of the data
//
//	h(i) = G[d(i)] + (G[d(i-1)] << 1) + … + (G[d(i-63)] << 63)
//
// It depends on 64 bytes only, and h(i) = (h(i-1) << 1) + G[d(i)].
//
// Parameters. The unit is a multiple of 64 KiB from 64 KiB to 4 MiB, and
//
//	min    = unit · 3/8
//	normal = unit · 7/8
//	max    = unit · 4
//	n      = log2(unit), rounded down: 16 to 22
//	loose  = bits 3 to 15 and the n-16 highest bits: n-3 bits
//	strict = bits 3 to 15 and the n-10 highest bits: n+3 bits
//
// Cut. A chunk begins where the data or the chunk before it left off. Its
// length is the smallest L for which one of these holds, i being the position
// of the chunk's last byte:
//
//	min    ≤ L < normal  and  h(i) & strict = 0
//	normal ≤ L < max     and  h(i) & loose  = 0
//	L = max
//	the data end after i
//
// Since min exceeds 64 bytes, the hash sees bytes of the chunk itself only, and
// where the chunk began does not change it. On random data the mean length is
// 0.98 units when the unit is a power of two, and 0.90 units or more for others.
//
// # Sources
//
// The gear hash is due to W. Xia et al., "Ddelta: A Deduplication-Inspired Fast
// Delta Compression Approach" (Performance Evaluation 79, 2014). Skipping the
// minimum, and the stricter and looser masks around a normal size, are from W.
// Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach
// for Data Deduplication" (USENIX ATC 2016) and "The Design of Fast
// Content-Defined Chunking for Data Deduplication Based Storage Systems" (IEEE
// TPDS 31, 2020).
//
// The key makes cut points differ between repositories. It is no security
// boundary: whoever sees the lengths of enough chunks of known data can recover
// the table.
package chunker

//go:build !purego

#include "textflag.h"

// The low 16 bits of the hash, H16, at position i are the sum of g(i-k) << k
// for k = 0…15, where g is the low word of G[data[i]]. Doubling makes the sum
// of 16 terms in four steps instead of sixteen:
//
//	s2(i)  = g(i)  + g(i-1)  << 1
//	s4(i)  = s2(i) + s2(i-2) << 2
//	s8(i)  = s4(i) + s4(i-4) << 4
//	H16(i) = s8(i) + s8(i-8) << 8
//
// Every register is two halves of 128 bits, the low one working on lane 0 and
// the high one on lane 1. No instruction crosses the halves.

// Constants of the loop: the shuffle tables, and 0x0f in every byte.
#define A_LO Y0
#define A_HI Y1
#define B_LO Y2
#define B_HI Y3
#define NIBBLE Y4

// LOOKUP loads the 16 bytes at offset off of each lane and sets lo to the g of
// the first eight, hi to the g of the last eight. It destroys Y5 and Y6.
#define LOOKUP(off, lo, hi) \
	VMOVDQU     off(SI), X5           \
	VINSERTI128 $1, off(DI), Y5, Y5   \
	VPSRLW      $4, Y5, Y6            \
	VPAND       NIBBLE, Y5, Y5        \ // b & 15
	VPAND       NIBBLE, Y6, Y6        \ // b >> 4
	VPSHUFB     Y5, A_LO, lo          \
	VPSHUFB     Y6, B_LO, hi          \
	VPXOR       lo, hi, lo            \ // low bytes of g
	VPSHUFB     Y5, A_HI, Y5          \
	VPSHUFB     Y6, B_HI, Y6          \
	VPXOR       Y5, Y6, Y5            \ // high bytes of g
	VPUNPCKHBW  Y5, lo, hi            \
	VPUNPCKLBW  Y5, lo, lo

// DOUBLE takes the g of eight positions, and the g, s2, s4 and s8 of the eight
// before. It leaves H16 in s8 and, for the eight that follow, the new g, s2, s4
// and s8 in g, pg, s2 and s4: every value moves on by one register.
#define DOUBLE(g, pg, s2, s4, s8) \
	VPALIGNR $14, pg, g, pg  \ // g, one position back
	VPADDW   pg, pg, pg      \
	VPADDW   g, pg, pg       \ // pg = new s2
	VPALIGNR $12, s2, pg, s2 \ // s2, two positions back
	VPSLLW   $2, s2, s2      \
	VPADDW   pg, s2, s2      \ // s2 = new s4
	VPALIGNR $8, s4, s2, s4  \ // s4, four positions back
	VPSLLW   $4, s4, s4      \
	VPADDW   s2, s4, s4      \ // s4 = new s8
	VPSLLW   $8, s8, s8      \ // s8 is eight positions back as it is
	VPADDW   s4, s8, s8        // s8 = H16

// func scanAVX2(t *nibbles, lane0, lane1 *byte, n int) (skip int, hits uint32)
TEXT ·scanAVX2(SB), NOSPLIT, $0-44
	MOVQ t+0(FP), AX
	MOVQ lane0+8(FP), SI
	MOVQ lane1+16(FP), DI
	MOVQ n+24(FP), CX

	VBROADCASTI128 0(AX), A_LO
	VBROADCASTI128 16(AX), A_HI
	VBROADCASTI128 32(AX), B_LO
	VBROADCASTI128 48(AX), B_HI
	MOVL           $0x0f0f0f0f, AX
	VMOVD          AX, X4
	VPBROADCASTD   X4, NIBBLE

	// Warm up on the 16 bytes in front of the lanes. Of these the first eight
	// lack what lies before them, and the last eight, which are all that the
	// loop needs, have their s8 from all 16.
	VPXOR   Y7, Y7, Y7
	VPXOR   Y8, Y8, Y8
	VPXOR   Y9, Y9, Y9
	VPXOR   Y10, Y10, Y10
	LOOKUP(0, Y11, Y12)
	DOUBLE(Y11, Y7, Y8, Y9, Y10)
	DOUBLE(Y12, Y11, Y7, Y8, Y9)
	VMOVDQA Y8, Y10
	VMOVDQA Y7, Y9
	VMOVDQA Y11, Y8
	VMOVDQA Y12, Y7

	XORL  DX, DX   // offset in the lanes
	VPXOR Y15, Y15, Y15

loop:
	// Here Y7…Y10 are the g, s2, s4 and s8 of the eight positions before, and
	// SI and DI point 16 bytes in front of the step.
	LOOKUP(16, Y11, Y12)
	DOUBLE(Y11, Y7, Y8, Y9, Y10)
	DOUBLE(Y12, Y11, Y7, Y8, Y9)
	LOOKUP(32, Y13, Y14)
	DOUBLE(Y13, Y12, Y11, Y7, Y8)
	DOUBLE(Y14, Y13, Y12, Y11, Y7)

	// H16 is in Y10, Y9, Y8, Y7. The common bits, 3…15, are zero somewhere if
	// the least H16 is below 8.
	VPMINUW   Y10, Y9, Y9
	VPMINUW   Y8, Y7, Y7
	VPMINUW   Y9, Y7, Y7
	VPSRLW    $3, Y7, Y7
	VPCMPEQW  Y15, Y7, Y7
	VPMOVMSKB Y7, AX
	TESTL     AX, AX
	JNZ       done

	VMOVDQA Y14, Y7
	VMOVDQA Y13, Y8
	VMOVDQA Y12, Y9
	VMOVDQA Y11, Y10
	ADDQ    $32, SI
	ADDQ    $32, DI
	ADDQ    $32, DX
	CMPQ    DX, CX
	JLT     loop

done:
	VZEROUPPER
	MOVQ DX, skip+32(FP)
	MOVL AX, hits+40(FP)
	RET

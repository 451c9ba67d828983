package pack

import (
	"fmt"
	"testing"

	"cairn/objects"
	"cairn/objects/crypt"
)

// BenchmarkAdd seals frames into packs of 16 MiB, with and without the hash
// and header that Finish makes.
func BenchmarkAdd(b *testing.B) {
	k := testKeys(b, crypt.AES256GCM)
	for _, n := range []int{256 << 10, 1 << 20} {
		raw := noise(n)
		chunks := cut(k.NewHasher(), objects.Data, raw, n/4, n/4, n/4, n/4)
		for _, finish := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dKiB/finish=%v", n>>10, finish), func(b *testing.B) {
				buffers := NewBuffers(16<<20, 2)
				buf := buffers.take(16 << 20)
				clear(buf[:cap(buf)]) // page faults are another matter
				buffers.put(buf)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				o := Options{Target: 16 << 20, Buffers: buffers}
				builder := testBuilder(b, k, objects.Data, o)
				for b.Loop() {
					if ok, err := builder.Add(Stored, raw, chunks); err != nil {
						b.Fatal(err)
					} else if ok {
						continue
					}
					if finish {
						p, err := builder.Finish(ToQuantum)
						if err != nil {
							b.Fatal(err)
						}
						p.Release()
					} else {
						buffers.put(builder.buf)
					}
					builder = testBuilder(b, k, objects.Data, o)
					mustAdd(b, builder, Stored, raw, chunks)
				}
			})
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	k := testKeys(b, crypt.AES256GCM)
	o := NewOpener(k, objects.Data)
	c := mustCompressor(b, Fastest)
	for name, raw := range map[string][]byte{"noise": noise(1 << 20), "text": text(1 << 20)} {
		b.Run(name, func(b *testing.B) {
			builder := testBuilder(b, k, objects.Data, Options{Target: 4 << 20})
			payload, compression := c.Compress(nil, raw)
			mustAdd(b, builder, compression, payload, cut(k.NewHasher(), objects.Data, raw, 1<<20))
			p, stored := mustFinish(b, builder, ToPadme)
			f := p.Header.Frames[0]
			sealed := stored[f.Off : f.Off+f.Stored]
			scratch := make([]byte, len(sealed))
			dst := make([]byte, 0, 1<<20)
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for b.Loop() {
				copy(scratch, sealed)
				if _, err := o.Open(dst, p.Header.Keys[0], f, scratch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompressible(b *testing.B) {
	raw := noise(1 << 20)
	for b.Loop() {
		Compressible(raw)
	}
}

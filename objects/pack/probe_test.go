package pack

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// prose is n bytes with the letters and words of a text, never the same twice.
func prose(n int) []byte {
	r := rand.New(testRandom(5))
	words := strings.Fields("the quick brown fox jumps over a lazy dog while packs of sealed frames wait for their index")
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(" \n.,"[r.IntN(4)])
	}
	return b.Bytes()[:n]
}

func gzipped(t *testing.T, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// photo is a picture with structure at all scales, and grain, as jpeg.
func photo(t *testing.T) []byte {
	t.Helper()
	r := rand.New(testRandom(6))
	img := image.NewRGBA(image.Rect(0, 0, 400, 300))
	for y := range 300 {
		for x := range 400 {
			wave := math.Sin(float64(x)/37)*math.Cos(float64(y)/23)*60 + math.Sin(float64(x*y)/900)*40
			v := func(shift float64) uint8 { return uint8(128 + wave + shift + r.NormFloat64()*12) }
			img.Set(x, y, color.RGBA{v(0), v(10), v(-10), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCompressible(t *testing.T) {
	t.Parallel()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	program = program[:min(len(program), 2<<20)]
	source := prose(1 << 20)
	for _, c := range []struct {
		name string
		data []byte
		want bool
	}{
		{"encrypted", noise(1 << 20), false},
		{"gzip", gzipped(t, source), false},
		{"gzip of a program", gzipped(t, program), false},
		{"zstd", enc.EncodeAll(source, nil), false},
		{"jpeg", photo(t), false},
		{"text", source, true},
		{"program", program, true},
		{"base64", []byte(base64.StdEncoding.EncodeToString(noise(1 << 20))), true},
		{"hexadecimal", []byte(hex.EncodeToString(noise(1 << 20))), true},
		{"zeros", make([]byte, 1<<20), true},
	} {
		const piece = 32 << 10
		wrong, all := 0, 0
		for p := c.data; len(p) >= piece; p = p[piece:] {
			all++
			if Compressible(p[:piece]) != c.want {
				wrong++
			}
		}
		if all == 0 || wrong*20 > all {
			t.Errorf("%s: of %d pieces, %d are not taken as %v", c.name, all, wrong, c.want)
		}
	}
	if mixed := append(noise(1<<18), make([]byte, 1<<18)...); !Compressible(mixed) {
		t.Error("half noise, half zeros: got false")
	}
}

// TestCompressibleLengths tries chunks too short for four samples.
func TestCompressibleLengths(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, probeMin - 1, probeMin, 1000, 4095, 4096, 4097, 10_000} {
		if !Compressible(prose(n)) {
			t.Errorf("%d bytes of text: got false", n)
		}
		if got := Compressible(noise(n)); got != (n < probeMin) {
			t.Errorf("%d random bytes: got %v", n, got)
		}
	}
}

package textform

import (
	"bytes"
	"testing"

	"github.com/velonym/velonym/engine/kernel/internal/structured"
	"github.com/velonym/velonym/internal/simd"
)

// TestStructured checks texts of one block and up to more than a round processes.
func TestStructured(t *testing.T) {
	structured.Run(t, nil, pathsOf, structuredTexts)
}

// pathsOf are the paths that a tier must take.
func pathsOf(tier string) map[string]*simd.Path {
	switch tier {
	case "generic":
		return nil
	case "avx512":
		return map[string]*simd.Path{"encode at": &paths.encodeAt, "rows": &paths.rows, "decode long": &paths.decodeLong}
	}
	return map[string]*simd.Path{"encode at": &paths.encodeAt, "rows": &paths.rows}
}

func structuredTexts(t *testing.T, step int) {
	for _, f := range []Form{Pair62, Hex} {
		w := NewWriter(f, 5, "", "\n")
		for n := 1; n <= 300; n += 1 + step/3 {
			blocks := make([]byte, 16*n)
			for i := range blocks {
				blocks[i] = byte(i*11 + i/250)
			}
			text := make([]byte, 32*n)
			f.Encode(text, blocks, 5)
			back := make([]byte, 16*n)
			if g, ok := f.Decode(back, text); !ok || f == Pair62 && g != 5 || !bytes.Equal(back, blocks) {
				t.Fatalf("%s: a text of %d blocks decodes to other bytes", f, n)
			}
			out, at := make([]uint32, 2*n), make([]uint32, n)
			rows := w.Rows(nil, blocks, out)
			places := make([]byte, 33*n)
			for i := range at {
				at[i] = uint32(33 * (n - 1 - i))
			}
			w.EncodeAt(places, at, blocks)
			for i := range n {
				var x [32]byte
				f.Encode(x[:], blocks[16*i:16*i+16], 5)
				if string(rows[33*i:33*i+33]) != string(x[:])+"\n" || out[2*i] != uint32(33*i) || string(places[at[i]:][:32]) != string(x[:]) {
					t.Fatalf("%s: row %d of %d differs from the twin's", f, i, n)
				}
			}
		}
	}
}

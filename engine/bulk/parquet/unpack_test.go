package parquet

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/format"
)

// TestUnpackAgainstLibrary checks that every codec decodes what the library encoded, and
// refuses a wrong stated size.
func TestUnpackAgainstLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	var u unpacker
	defer u.close()
	for _, codec := range []format.CompressionCodec{format.Snappy, format.Gzip, format.Brotli, format.Zstd, format.Lz4Raw} {
		for i := range 300 {
			var b []byte
			for range rng.IntN(40) {
				piece := []byte(strings.Repeat("ab0123456789"[:1+rng.IntN(12)], 1+rng.IntN(200)))
				if rng.IntN(2) == 0 {
					for k := range piece {
						piece[k] = byte(rng.Uint32())
					}
				}
				b = append(b, piece...)
			}
			packed, err := codecOf(codec).Encode(nil, b)
			if err != nil {
				t.Fatal(err)
			}
			got, err := u.unpack(codec, packed, int64(len(b)))
			if err != nil || !bytes.Equal(got, b) {
				t.Fatalf("%v, round %d: %d bytes of %d, %v", codec, i, len(got), len(b), err)
			}
			for _, n := range []int64{int64(len(b)) - 1, int64(len(b)) + 1} {
				if n < 0 {
					continue
				}
				if got, err := u.unpack(codec, packed, n); err == nil && int64(len(got)) == n {
					t.Fatalf("%v, round %d: %d bytes unpacked to %d", codec, i, len(b), n)
				}
			}
		}
	}
}

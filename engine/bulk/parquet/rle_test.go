package parquet

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/rle"
)

// TestRLEAgainstLibrary compares decoding with the library's, at every width and in runs of
// every length, and checks that no bytes cause a panic, an endless loop or more values than
// were asked for.
func TestRLEAgainstLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for width := range 33 {
		for n := range 70 {
			want := make([]int32, n*13)
			for i := range want {
				if i > 0 && rng.IntN(9) > 0 {
					want[i] = want[i-1]
				} else {
					want[i] = int32(rng.Uint32() & uint32(uint64(1)<<width-1))
				}
			}
			e := rle.Encoding{BitWidth: width}
			var b []byte
			var err error
			if width > 0 {
				if b, err = e.EncodeInt32(nil, want); err != nil {
					t.Fatal(err)
				}
			} else {
				b = binary.AppendUvarint(nil, uint64(len(want))<<1)
			}
			d, err := newRLE(b, width, int64(len(want)))
			if err != nil {
				t.Fatal(err)
			}
			got := []int32{}
			for {
				v, k, group, err := d.next()
				if err != nil {
					t.Fatalf("width %d, %d values: %v", width, len(want), err)
				}
				if k == 0 && len(group) == 0 {
					break
				}
				for range k {
					got = append(got, int32(v))
				}
				for _, v := range group {
					got = append(got, int32(v))
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("width %d: the %d values that were read differ from those written", width, len(want))
			}
		}
	}
}

// TestRLETruncated checks that bytes that end before the values do are an error, and that
// only bytes that no value needs may be missing.
func TestRLETruncated(t *testing.T) {
	for width := 1; width <= 32; width++ {
		for n := 1; n <= 24; n++ {
			groups := (n + 7) / 8
			need := (n*width + 7) / 8
			for size := range groups*width + 1 {
				b := append([]byte{byte(groups)<<1 | 1}, make([]byte, size)...)
				d, err := newRLE(b, width, int64(n))
				if err != nil {
					t.Fatal(err)
				}
				got := 0
				for {
					_, k, group, e := d.next()
					if err = e; e != nil || k == 0 && len(group) == 0 {
						break
					}
					got += int(k) + len(group)
				}
				if (err == nil) != (size >= need) || err == nil && got != n {
					t.Fatalf("width %d, %d values in %d bytes of %d: %d, %v", width, n, size, need, got, err)
				}
			}
		}
	}
}

// TestCountLevels checks counts of levels against the decoded levels, of which those that
// are 0 or 1 are counted by words.
func TestCountLevels(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for round := range 2000 {
		most := 1 + round%3
		var b []byte
		var want [4]int64
		n := int64(0)
		for range rng.IntN(6) {
			if rng.IntN(2) == 0 {
				count, level := rng.IntN(300), rng.IntN(most+1)
				b = append(binary.AppendUvarint(b, uint64(count)<<1), byte(level))
				n, want[level] = n+int64(count), want[level]+int64(count)
				continue
			}
			levels := make([]int32, 8*rng.IntN(40))
			width := bits.Len(uint(most))
			packed := make([]byte, len(levels)*width/8)
			for i := range levels {
				level := rng.IntN(most + 1)
				want[level]++
				for bit := range width {
					packed[(i*width+bit)/8] |= byte(level>>bit&1) << ((i*width + bit) % 8)
				}
			}
			b = append(binary.AppendUvarint(b, uint64(len(levels)/8)<<1|1), packed...)
			n += int64(len(levels))
		}
		full, below, zero, err := countLevels(b, most, n)
		if err != nil || full != want[most] || below != want[most-1] || zero != want[0] {
			t.Fatalf("round %d: %d full, %d below, %d zero of %v, %v", round, full, below, zero, want[:most+1], err)
		}
	}
	ones := []byte{5, 0xff, 0xff} // sixteen ones; fewer may be asked for
	for n := range int64(17) {
		if full, _, _, err := countLevels(ones, 1, n); err != nil || full != n {
			t.Errorf("%d of %d ones, %v", full, n, err)
		}
	}
	if _, _, _, err := countLevels([]byte{6, 2}, 1, 3); err == nil {
		t.Error("a level of 2 of 1 is counted")
	}
}

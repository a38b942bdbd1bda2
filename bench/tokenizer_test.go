package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd"
)

// TestData checks that each shape is as documented.
func TestData(t *testing.T) {
	for _, shape := range Shapes {
		a, err := Data(shape, 200<<10, 1)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := Data(shape, 200<<10, 1)
		c, _ := Data(shape, 200<<10, 2)
		if !bytes.Equal(a, b) || bytes.Equal(a, c) {
			t.Errorf("%s: not a function of its arguments", shape)
		}
		if len(a) < 200<<10 || len(a) > 201<<10 {
			t.Errorf("%s: %d bytes", shape, len(a))
		}
		rows, err := csv.NewReader(bytes.NewReader(a)).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", shape, err)
		}
		if want := map[string]int{"narrow": 8, "quoted": 8, "wide": 100, "ids": 1}[shape]; len(rows[0]) != want {
			t.Errorf("%s: %d columns, want %d", shape, len(rows[0]), want)
		}
		if quoted := bytes.IndexByte(a, '"') >= 0; quoted != (shape == "quoted") {
			t.Errorf("%s: quotes: %v", shape, quoted)
		}
	}
	if _, err := Data("tall", 1, 1); err == nil {
		t.Error("made an unknown shape")
	}
}

func TestTokenizer(t *testing.T) {
	was := simd.Kernel()
	s, err := Tokenizer(context.Background(), Options{Quick: true, Rounds: 1, Size: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if simd.Kernel() != was {
		t.Errorf("left kernel %s, was %s", simd.Kernel(), was)
	}
	for _, shape := range Shapes[:3] {
		found := 0
		for _, r := range s.Rows {
			if strings.HasPrefix(r.Name, shape+": ") {
				found++
				if strings.Contains(r.Name, "allocations") {
					if r.Median != 0 {
						t.Errorf("%s: %v", r.Name, r.Median)
					}
				} else if r.Median <= 0 {
					t.Errorf("%s: rate %v", r.Name, r.Median)
				}
			}
		}
		if found < 9 {
			t.Errorf("%s: %d rows", shape, found)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Tokenizer(ctx, Options{Quick: true}); err == nil {
		t.Error("went on after its context ended")
	}
}

func TestReadPass(t *testing.T) {
	data, err := Data("narrow", 64<<10, 1)
	if err != nil {
		t.Fatal(err)
	}
	data = data[:len(data)&^511]
	a := readPass(data)
	data[len(data)-1]++
	if readPass(data) == a {
		t.Error("the last byte is not read")
	}
}

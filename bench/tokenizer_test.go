package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd"
)

// TestData checks that the data of each shape depends only on its arguments, and has the
// documented size, columns and quotes.
func TestData(t *testing.T) {
	for _, shape := range Shapes {
		a, err := Data(shape, 200<<10, 1)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := Data(shape, 200<<10, 1)
		c, _ := Data(shape, 200<<10, 2)
		if !bytes.Equal(a, b) || bytes.Equal(a, c) {
			t.Errorf("%s: equal seeds give different data, or different seeds equal data", shape)
		}
		if len(a) < 200<<10 || len(a) > 201<<10 {
			t.Errorf("%s: %d bytes, want 200 KiB and at most 1 KiB more", shape, len(a))
		}
		rows, err := csv.NewReader(bytes.NewReader(a)).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", shape, err)
		}
		if want := map[string]int{"narrow": 8, "quoted": 8, "wide": 100, "ids": 1}[shape]; len(rows[0]) != want {
			t.Errorf("%s: %d columns, want %d", shape, len(rows[0]), want)
		}
		if quoted := bytes.IndexByte(a, '"') >= 0; quoted != (shape == "quoted") {
			t.Errorf("%s: quotes: %v, want %v", shape, quoted, shape == "quoted")
		}
	}
	if _, err := Data("tall", 1, 1); err == nil {
		t.Error("Data returned no error for an unknown shape")
	}
}

// TestTokenizer runs a quick benchmark, which checks every contender's result, and expects
// rows for each shape and an error once the context has ended.
func TestTokenizer(t *testing.T) {
	was := simd.Kernel()
	s, err := Tokenizer(context.Background(), Options{Quick: true, Rounds: 1, Size: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if simd.Kernel() != was {
		t.Errorf("Tokenizer left kernel %s forced, want %s", simd.Kernel(), was)
	}
	for _, shape := range Shapes[:3] {
		found := 0
		for _, r := range s.Rows {
			if strings.HasPrefix(r.Name, shape+": ") {
				found++
				if strings.Contains(r.Name, "allocations") {
					if r.Median != 0 {
						t.Errorf("%s: %v, want 0", r.Name, r.Median)
					}
				} else if r.Median <= 0 {
					t.Errorf("%s: rate %v, want a positive one", r.Name, r.Median)
				}
			}
		}
		if found < 9 {
			t.Errorf("%s: %d rows, want at least 9", shape, found)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Tokenizer(ctx, Options{Quick: true}); err == nil {
		t.Error("Tokenizer returned no error although its context had ended")
	}
}

// TestReadPass checks that readPass reads all bytes, up to the last.
func TestReadPass(t *testing.T) {
	data, err := Data("narrow", 64<<10, 1)
	if err != nil {
		t.Fatal(err)
	}
	data = data[:len(data)&^511]
	a := readPass(data)
	data[len(data)-1]++
	if readPass(data) == a {
		t.Error("readPass returns the same after the last byte changed")
	}
}

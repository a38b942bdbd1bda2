package typed

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// TestIntegerTexts compares texts with those of strconv, at every number of digits and at
// random.
func TestIntegerTexts(t *testing.T) {
	values := []uint64{0, 1, math.MaxInt64, 1 << 63, math.MaxUint64}
	for p := uint64(1); ; p *= 10 {
		values = append(values, p-1, p, p+1, 9*p)
		if p == 1e19 {
			break
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		values = append(values, r.Uint64()>>r.IntN(64))
	}
	for _, v := range values {
		want := strconv.FormatUint(v, 10)
		if got := string(AppendUint([]byte("x"), v)); got != "x"+want {
			t.Fatalf("%d is %s", v, got)
		}
		if got := string(AppendInt(nil, int64(v))); got != strconv.FormatInt(int64(v), 10) {
			t.Fatalf("%d is %s", int64(v), got)
		}
		if negative, back, ok := parseDigits([]byte(want)); !ok || negative || back != v {
			t.Fatalf("%s is %d, %v", want, back, ok)
		}
	}
}

// layouts returns the layouts that Parquet and Arrow use.
func layouts() []Layout {
	var all []Layout
	for _, size := range []int{1, 2, 4, 8} {
		for _, width := range []int{size, max(size, 4)} {
			all = append(all, Layout{Type{Kind: Int, Size: size}, width, false}, Layout{Type{Kind: Uint, Size: size}, width, false})
		}
	}
	decimal := func(precision, width int, bigEndian bool) {
		all = append(all, Layout{Type{Kind: Decimal, Precision: precision}, width, bigEndian})
	}
	decimal(9, 4, false)
	decimal(18, 8, false)
	decimal(38, 16, false)
	decimal(76, 32, false)
	decimal(38, 16, true)
	decimal(76, 32, true)
	decimal(11, 5, true)
	decimal(30, 0, true)
	return append(all, Layout{Type{Kind: UUID}, 16, false}, Layout{Type{Kind: Fixed, Size: 5}, 5, false}, Layout{Type{Kind: Fixed, Size: 32}, 32, false})
}

// bigText returns the text of a stored value by means of math/big.
func bigText(l Layout, value []byte) string {
	be := bytes.Clone(value)
	if !l.BigEndian {
		for i, j := 0, len(be)-1; i < j; i, j = i+1, j-1 {
			be[i], be[j] = be[j], be[i]
		}
	}
	n := new(big.Int).SetBytes(be)
	if l.Type.Kind != Uint && be[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(be))))
	}
	return n.String()
}

// sample returns the stored bytes of a random value, usually one that the type allows.
func sample(r *rand.Rand, l Layout) []byte {
	width := l.Width
	if width == 0 {
		width = 1 + r.IntN(12)
	}
	b := make([]byte, width)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if l.Type.Kind == UUID || l.Type.Kind == Fixed {
		return b
	}
	small := r.IntN(width + 1) // extend the sign over the rest
	for i := range b {
		at := i
		if l.BigEndian {
			at = width - 1 - i
		}
		if i >= small && small > 0 {
			below := b[small-1]
			if l.BigEndian {
				below = b[width-small]
			}
			b[at] = 0
			if l.Type.Kind != Uint && below&0x80 != 0 {
				b[at] = 0xff
			}
		}
	}
	return b
}

// TestLayoutRoundTrip compares texts with those of another implementation, and checks that a
// text gives the stored bytes back.
func TestLayoutRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, l := range layouts() {
		if !l.Valid() {
			t.Fatalf("%+v is not valid", l)
		}
		if back, err := ParseType(l.Type.String()); err != nil || back != l.Type {
			t.Fatalf("%s is read as %+v, %v", l.Type, back, err)
		}
		var column []byte
		var want []string
		outside := 0
		for range 3000 {
			value := sample(r, l)
			text, err := l.AppendText(nil, value)
			var wrong *ValueError
			if errors.As(err, &wrong) {
				if !wrong.OutOfRange {
					t.Fatalf("%+v: %v", l, err)
				}
				outside++
				continue
			}
			expect := ""
			switch l.Type.Kind {
			case UUID:
				h := hex.EncodeToString(value)
				expect = strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
			case Fixed:
				expect = hex.EncodeToString(value)
			default:
				expect = bigText(l, value)
			}
			if string(text) != expect {
				t.Fatalf("%+v: %x is %s, want %s", l, value, text, expect)
			}
			back, err := l.AppendValue([]byte("x"), text)
			if l.Width == 0 {
				again, _ := l.AppendText(nil, back[1:])
				if err != nil || !bytes.Equal(again, text) || len(back)-1 > len(value) {
					t.Fatalf("%+v: %x came back as %x, %v", l, value, back[1:], err)
				}
				continue
			}
			if err != nil || !bytes.Equal(back[1:], value) {
				t.Fatalf("%+v: %x came back as %x, %v", l, value, back[1:], err)
			}
			column = append(column, value...)
			want = append(want, expect)
		}
		if outside > 2900 {
			t.Fatalf("%+v: %d values outside of the type: too few or too many to test both", l, outside)
		}
		if l.Width == 0 {
			continue
		}
		arena, spans, err := l.AppendTexts([]byte("before"), []uint32{0, 6}, column)
		if err != nil || len(spans) != 2+2*len(want) {
			t.Fatalf("%+v: %d spans of %d values, %v", l, len(spans)/2, len(want), err)
		}
		for i, w := range want {
			if got := string(arena[spans[2*i+2]:][:spans[2*i+3]]); got != w {
				t.Fatalf("%+v: value %d is %s, want %s", l, i, got, w)
			}
		}
	}
}

// TestLayoutLimits checks that the ends of every range are accepted, and the numbers next to
// them refused.
func TestLayoutLimits(t *testing.T) {
	for _, c := range []struct {
		l           Layout
		least, most string
	}{
		{Layout{Type{Kind: Int, Size: 1}, 4, false}, "-128", "127"},
		{Layout{Type{Kind: Int, Size: 2}, 4, false}, "-32768", "32767"},
		{Layout{Type{Kind: Int, Size: 4}, 4, false}, "-2147483648", "2147483647"},
		{Layout{Type{Kind: Int, Size: 8}, 8, false}, "-9223372036854775808", "9223372036854775807"},
		{Layout{Type{Kind: Uint, Size: 1}, 4, false}, "0", "255"},
		{Layout{Type{Kind: Uint, Size: 2}, 2, false}, "0", "65535"},
		{Layout{Type{Kind: Uint, Size: 4}, 4, false}, "0", "4294967295"},
		{Layout{Type{Kind: Uint, Size: 8}, 8, false}, "0", "18446744073709551615"},
		{Layout{Type{Kind: Decimal, Precision: 3}, 4, false}, "-999", "999"},
		{Layout{Type{Kind: Decimal, Precision: 3}, 1, true}, "-128", "127"},
		{Layout{Type{Kind: Decimal, Precision: 76}, 32, true}, "-" + strings.Repeat("9", 76), strings.Repeat("9", 76)},
		{Layout{Type{Kind: Decimal, Precision: 76}, 0, true}, "-" + strings.Repeat("9", 76), strings.Repeat("9", 76)},
	} {
		for _, end := range []string{c.least, c.most} {
			b, err := c.l.AppendValue(nil, []byte(end))
			if err != nil {
				t.Errorf("%+v: %s: %v", c.l, end, err)
				continue
			}
			if text, err := c.l.AppendText(nil, b); err != nil || string(text) != end {
				t.Errorf("%+v: %s became %s, %v", c.l, end, text, err)
			}
			n, _ := new(big.Int).SetString(end, 10)
			n.Add(n, big.NewInt(1-2*int64(len(end)-len(strings.TrimPrefix(end, "-")))))
			if end == "0" {
				n.SetInt64(-1)
			}
			var wrong *ValueError
			if _, err := c.l.AppendValue(nil, []byte(n.String())); !errors.As(err, &wrong) || !wrong.OutOfRange {
				t.Errorf("%+v: %s: %v", c.l, n, err)
			}
		}
	}
	// A stored value may be outside of the annotated type.
	for _, c := range []struct {
		t Type
		v int32
	}{{Type{Kind: Int, Size: 1}, 128}, {Type{Kind: Int, Size: 1}, -129}, {Type{Kind: Uint, Size: 2}, 65536}, {Type{Kind: Decimal, Precision: 4}, 10000}} {
		stored := binary.LittleEndian.AppendUint32(nil, uint32(c.v))
		for range 2 { // one value and a column
			l := Layout{c.t, 4, false}
			if _, err := l.AppendText(nil, stored); err == nil {
				t.Errorf("%s: %d was accepted, want an error", c.t, c.v)
			}
			if _, _, err := l.AppendTexts(nil, nil, stored); err == nil {
				t.Errorf("%s: a column of %d was accepted, want an error", c.t, c.v)
			}
		}
	}
}

// TestNonCanonicalTextsAreRefused checks that any text but the canonical one is refused, so
// that restoring a column loses nothing.
func TestNonCanonicalTextsAreRefused(t *testing.T) {
	for _, l := range layouts() {
		texts := []string{"", "-", "x", "1x", " 1", "1 ", "１"}
		switch l.Type.Kind {
		case Int, Uint, Decimal:
			texts = append(texts, "01", "00", "-0", "-01", "+1", "1.0", "1e3", "0x1", "--1", "99999999999999999999999999999999999999999999999999999999999999999999999999999999")
		case UUID:
			texts = append(texts, "00112233445566778899aabbccddeeff", "00112233-4455-6677-8899-AABBCCDDEEFF", "00112233-4455-6677-8899-aabbccddeeg0",
				"00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeeff0", "001122334-455-6677-8899-aabbccddeeff")
		case Fixed:
			texts = append(texts, strings.Repeat("A0", l.Width), strings.Repeat("a0", l.Width-1), strings.Repeat("a0", l.Width)+"a", strings.Repeat("g0", l.Width))
		}
		for _, text := range texts {
			dst, err := l.AppendValue([]byte("x"), []byte(text))
			var wrong *ValueError
			if !errors.As(err, &wrong) {
				t.Errorf("%+v: %q was accepted, want an error", l, text)
			} else if string(dst) != "x" {
				t.Errorf("%+v: %q was refused and left %x, want dst unchanged", l, text, dst)
			} else if len(text) > 1 && strings.Contains(err.Error(), text) {
				t.Errorf("%+v: the error holds the value", l)
			}
		}
	}
}

// TestInvalidTypeNamesAreRefused checks that ParseType accepts only names of types.
func TestInvalidTypeNamesAreRefused(t *testing.T) {
	for _, s := range []string{"", "int", "int7", "int128", "uint0", "int08", "decimal(0, 0)", "decimal(77, 0)", "decimal(9)", "decimal(9, 2)", "fixed(0)", "fixed(-1)", "fixed(+3)", "uuid ", "float64", "fixed(9999999)"} {
		if got, err := ParseType(s); err == nil {
			t.Errorf("%q is %+v", s, got)
		}
	}
}

// TestNoAllocation checks that converting a column into buffers that are large enough
// allocates nothing.
func TestNoAllocation(t *testing.T) {
	for _, l := range layouts() {
		if l.Width == 0 {
			continue
		}
		column := make([]byte, 1000*l.Width)
		arena, spans := make([]byte, 0, 100_000), make([]uint32, 0, 2000)
		stored := make([]byte, 0, 100_000)
		if n := testing.AllocsPerRun(10, func() {
			a, s, err := l.AppendTexts(arena, spans, column)
			if err != nil {
				t.Fatal(err)
			}
			dst := stored
			for i := 0; i < len(s); i += 2 {
				if dst, err = l.AppendValue(dst, a[s[i]:][:s[i+1]]); err != nil {
					t.Fatal(err)
				}
			}
		}); n != 0 {
			t.Errorf("%+v: %v allocations", l, n)
		}
	}
}

// TestMemoryLayers checks that a Memory is read back, that a type comes back once every layer
// is reversed, and that invalid text is refused.
func TestMemoryLayers(t *testing.T) {
	var m Memory
	key := ColumnKey([]string{"a.b", `c\`})
	if key != `a\.b.c\\` {
		t.Errorf("key %s", key)
	}
	m.Cover(key) // has no effect on a column that was never typed
	if m.Uncover(key) != nil {
		t.Error("a column that never was typed is uncovered")
	}
	m.Keep(key, &Original{Type: "int64", Parquet: []byte{1, 2}})
	m.Cover(key)
	m, err := ParseMemory(m.Text())
	if err != nil {
		t.Fatal(err)
	}
	if m.Uncover(key) != nil {
		t.Error("uncovered below a layer")
	}
	if o := m.Uncover(key); o == nil || o.Type != "int64" || !bytes.Equal(o.Parquet, []byte{1, 2}) {
		t.Errorf("uncovered %+v", o)
	}
	if m.Uncover(key) != nil || len(m.Columns) != 0 {
		t.Error("a type comes back twice")
	}
	for _, text := range []string{"", "null", "{}", `{"version":2,"columns":{}}`, `{"version":1,"columns":{"a":null}}`, `{"version":1} {}`,
		`{"version":1,"columns":{"a":{"type":"int64","layers":-1}}}`, `{"version":1,"columns":{"a":{"type":7}}}`} {
		if m, err := ParseMemory([]byte(text)); !errors.Is(err, ErrMemory) {
			t.Errorf("%s is %+v, %v", text, m, err)
		}
	}
}

// FuzzLayout checks that every text is the canonical one of a value, or is refused.
func FuzzLayout(f *testing.F) {
	f.Add(byte(0), []byte("12"))
	f.Add(byte(7), []byte("-9223372036854775808"))
	f.Add(byte(20), []byte("00112233-4455-6677-8899-aabbccddeeff"))
	all := layouts()
	f.Fuzz(func(t *testing.T, which byte, text []byte) {
		l := all[int(which)%len(all)]
		value, err := l.AppendValue(nil, text)
		if err == nil {
			back, err := l.AppendText(nil, value)
			if err != nil || !bytes.Equal(back, text) {
				t.Fatalf("%+v: %q became %x and %q, %v", l, text, value, back, err)
			}
		}
		if l.Width > 0 && len(text) >= l.Width { // the bytes as a stored value
			got, err := l.AppendText(nil, text[:l.Width])
			if err != nil {
				return
			}
			again, err := l.AppendValue(nil, got)
			if err != nil || !bytes.Equal(again, text[:l.Width]) {
				t.Fatalf("%+v: %x became %q and %x, %v", l, text[:l.Width], got, again, err)
			}
		}
	})
}

func BenchmarkAppendTexts(b *testing.B) {
	column := make([]byte, 0, 8*1000)
	r := rand.New(rand.NewPCG(3, 3))
	for range 1000 {
		column = binary.LittleEndian.AppendUint64(column, r.Uint64N(1e13))
	}
	l := Layout{Type{Kind: Int, Size: 8}, 8, false}
	var arena []byte
	var spans []uint32
	b.SetBytes(int64(len(column)))
	for b.Loop() {
		arena, spans, _ = l.AppendTexts(arena[:0], spans[:0], column)
	}
}

package jsonfast

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
)

// pieces are the parts of random texts. Most are valid, so that errors occur late in many texts.
var pieces = []string{
	`"a"`, `"0123456789012"`, `""`, `"data"`, `"id"`, `"patient"`, `"d\u0061ta"`, `"i\u0064"`, `","`, `"]}"`,
	`"a","b","c","d"`, `"0000000000000","1111111111111","2222222222222","3333333333333"`,
	`,`, `,`, `,`, `, `, ",\n\t", ` `, "\r\n", "\n", "\t", `:`, `:`, `{`, `}`, `[`, `]`, `]}`, `{"data":[`, `"data":[`,
	`{"id":"x"}`, `{"patient":{"id":"`, `"id":`, `"patient":`, `"},`, `null`, `true`, `false`, `nul`, `tru`, `falsee`,
	`0`, `-1`, `1.5e+3`, `01`, `-`, `1.`, `.5`, `1e`, `12345678901234567890`, `-0.0E-1`,
	`"`, `\`, `\\`, `\"`, `\/`, `\b`, `\n`, `\u00e9`, `\ud83d\ude00`, `\ud83d`, `\ude00`, `\u12`, `\x`, `\u000`,
	`"\\\"\\"`, `"\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\"`, `"aé"`, `"日本"`, `"😀"`, "é", "\xc3", "\xa9", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80",
	"\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf5", "\x80", "\xff", "\x00", "\x1f", "\x7f", "\ufeff", `x`, `abc`,
	`"` + strings.Repeat("x", 61), strings.Repeat("y", 64), strings.Repeat(" ", 63), strings.Repeat(`\`, 63),
}

// randomText joins up to n random pieces.
func randomText(r *rand.Rand, n int) []byte {
	var b []byte
	for k := r.IntN(n); k >= 0; k-- {
		b = append(b, pieces[r.IntN(len(pieces))]...)
	}
	return b
}

// randomValue appends a valid value, with white space if loose is set.
func randomValue(r *rand.Rand, b []byte, depth int, loose bool) []byte {
	space := func() {
		if loose && r.IntN(3) == 0 {
			b = append(b, " \t\r"[r.IntN(3)])
		}
	}
	space()
	switch k := r.IntN(12); {
	case k < 5 || depth == 0 && k > 8:
		b = randomString(r, b)
	case k < 7:
		b = strconv.AppendFloat(b, r.NormFloat64()*1000, "fegE"[r.IntN(4)], r.IntN(18)-1, 64)
		b = bytes.Replace(b, []byte("+"), nil, r.IntN(2))
	case k == 7:
		b = strconv.AppendInt(b, int64(r.Uint64())>>r.IntN(64), 10)
	case k == 8:
		b = append(b, [...]string{"true", "false", "null"}[r.IntN(3)]...)
	case k < 10:
		b = append(b, '[')
		for n := r.IntN(6); n > 0; n-- {
			b = randomValue(r, b, depth-1, loose)
			if n > 1 {
				b = append(b, ',')
			}
		}
		space()
		b = append(b, ']')
	default:
		b = append(b, '{')
		for n := r.IntN(6); n > 0; n-- {
			space()
			if r.IntN(2) == 0 {
				b = append(b, [...]string{`"id"`, `"patient"`, `"data"`, `"visits"`, `"d\u0061ta"`}[r.IntN(5)]...)
			} else {
				b = randomString(r, b)
			}
			space()
			b = append(b, ':')
			b = randomValue(r, b, depth-1, loose)
			if n > 1 {
				b = append(b, ',')
			}
		}
		space()
		b = append(b, '}')
	}
	space()
	return b
}

// randomScalar appends a string, or sometimes a word or a number.
func randomScalar(r *rand.Rand, b []byte) []byte {
	if r.IntN(6) > 0 {
		return randomString(r, b)
	}
	return append(b, [...]string{"true", "false", "null", "0", "-0.5e-7", "12345678901234567890.5", "-10"}[r.IntN(7)]...)
}

// randomString appends a valid string.
func randomString(r *rand.Rand, b []byte) []byte {
	b = append(b, '"')
	n := r.IntN(20)
	if r.IntN(10) == 0 {
		n = r.IntN(200)
	}
	plain := r.IntN(2) == 0
	for ; n > 0; n-- {
		if plain || r.IntN(4) > 0 {
			b = append(b, "abcdefghijklmnopqrstuvwxyz0123456789 ,:[]{}"[r.IntN(43)])
			continue
		}
		b = append(b, [...]string{`\\`, `\"`, `\/`, `\n`, `\u00e9`, `\ud83d\ude00`, "é", "日", "😀", "\x7f", `\u005c`, `\u0022`}[r.IntN(12)]...)
	}
	return append(b, '"')
}

// mutate makes a small change to valid text, or none.
func mutate(r *rand.Rand, b []byte) []byte {
	for n := r.IntN(3); n > 0 && len(b) > 0; n-- {
		i := r.IntN(len(b))
		switch r.IntN(4) {
		case 0:
			b = append(b[:i], b[i+1:]...)
		case 1:
			b[i] = pieces[r.IntN(len(pieces))][0]
		case 2:
			b = append(b[:i:i], append([]byte(pieces[r.IntN(len(pieces))]), b[i:]...)...)
		case 3:
			b = b[:i]
		}
	}
	return b
}

// shapedLine appends an object whose members depend only on shape, and their values on r.
func shapedLine(r, shape *rand.Rand, b []byte) []byte {
	comma := [...]string{",", ", ", " , "}[shape.IntN(3)]
	colon := [...]string{":", ": ", "\t:\t"}[shape.IntN(3)]
	var object func(depth int)
	object = func(depth int) {
		b = append(b, '{')
		for k := 1 + shape.IntN(7); k > 0; k-- {
			name := [...]string{`"id"`, `"patient"`, `"visits"`, `"a"`, `"b"`, `"\u0069d"`, `"a very long member name, longer than a vector of sixty-four bytes can hold"`}[shape.IntN(7)]
			b = append(append(b, name...), colon...)
			switch kind := shape.IntN(8); {
			case kind == 0 && depth < 3:
				object(depth + 1)
			case kind == 1:
				if shape.IntN(3) == 0 { // items of several kinds
					b = append(b, `[{"id":1`...)
					for _, sep := range [...]string{"},", ",[", "],", ",{},", ","} {
						b = append(b, sep...)
						b = append(randomScalar(r, b), ' ')
					}
					b = append(b, ']')
					break
				}
				b = append(b, '[')
				for n := r.IntN(5); n > 0; n-- {
					if b = randomString(r, b); n > 1 {
						b = append(b, comma...)
					}
				}
				b = append(b, ']')
			case kind == 2:
				b = strconv.AppendInt(b, r.Int64()>>r.IntN(64), 10)
			case kind == 3:
				b = strconv.AppendFloat(b, r.NormFloat64(), 'f', 3, 64)
			default:
				b = randomScalar(r, b)
			}
			if k > 1 {
				b = append(b, comma...)
			}
		}
		b = append(b, '}')
	}
	object(0)
	return b
}

// document is a JSON array, or a sequence of JSON texts, and its values.
type document struct {
	text   []byte // behind the '[' of the array
	values [][]byte
	array  bool
}

func randomDocument(r *rand.Rand) document {
	d := document{array: r.IntN(3) > 0}
	spaces := []string{"", "", " ", "\n", "\r\n  ", "\n\n\t"}
	before, behind := spaces[r.IntN(len(spaces))], spaces[r.IntN(len(spaces))]
	shape := r.Uint64()
	for k := r.IntN(120); k >= 0; k-- {
		if r.IntN(50) == 0 {
			shape = r.Uint64()
		}
		var v []byte
		if r.IntN(8) == 0 {
			for {
				if v = randomValue(r, nil, 4, true); d.array || len(v) > 0 && (v[0] == '{' || v[0] == '[') {
					break
				}
			}
		} else {
			v = shapedLine(r, rand.New(rand.NewPCG(shape, 0)), nil)
		}
		d.values = append(d.values, bytes.TrimSpace(v))
		if len(d.values) > 1 && d.array {
			d.text = append(d.text, ',')
		}
		d.text = append(append(append(d.text, before...), v...), behind...)
	}
	if d.array {
		d.text = append(d.text, ']')
	}
	d.text = append(d.text, spaces[r.IntN(len(spaces))]...)
	return d
}

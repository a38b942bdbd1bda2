package ff1

import "encoding/binary"

// charset converts between characters and numerals eight at a time, without a table that a value
// would index. It describes an alphabet as runs of characters that are adjacent in ASCII.
type charset struct {
	runs []charRun
}

// charRun is a run of characters that follow each other in ASCII and in the alphabet: numerals
// num … num+more are the characters char … char+more. Each field holds the number in all eight
// bytes.
type charRun struct {
	char, num, more uint64
}

const (
	everyByte = 0x0101010101010101
	topBits   = 0x8080808080808080
)

func newCharset(alphabet string) charset {
	var t charset
	for i := 0; i < len(alphabet); {
		j := i + 1
		for j < len(alphabet) && alphabet[j] == alphabet[j-1]+1 {
			j++
		}
		t.runs = append(t.runs, charRun{uint64(alphabet[i]) * everyByte, uint64(i) * everyByte, uint64(j-1-i) * everyByte})
		i = j
	}
	return t
}

// moveRun maps the bytes of x in the run [from, from+more] to the run at to. It returns them, with
// zeros for the other bytes, and a mask of the bytes in the run. All bytes are below 128.
func moveRun(x, from, to, more uint64) (moved, in uint64) {
	above := (x | topBits) - from         // top bit: not below the run; below it: the distance
	within := (from + more | topBits) - x // top bit: not above the run
	in = above & within & topBits         // top bits
	in = in >> 7 * 0xFF                   // whole bytes
	return (above&^topBits + to) & in, in // below 128 + 94: no carry between bytes
}

// numerals writes the numerals of v's characters to num, which must be seven bytes longer, and
// reports whether all characters are in the alphabet.
func (t *charset) numerals(num, v []byte) bool {
	var foreign uint64
	for i := 0; i < len(v); i += 8 {
		var x uint64
		valid := ^uint64(0)
		if len(v)-i >= 8 {
			x = binary.LittleEndian.Uint64(v[i:])
		} else {
			x = loadTail(v, len(v)-i)
			valid = 1<<(8*uint(len(v)-i)) - 1
		}
		foreign |= x & topBits
		x &^= topBits
		var y, found uint64
		for k := range t.runs {
			r := &t.runs[k]
			m, in := moveRun(x, r.char, r.num, r.more)
			y |= m
			found |= in
		}
		foreign |= ^found & valid
		binary.LittleEndian.PutUint64(num[i:], y&valid)
	}
	return foreign == 0
}

// characters writes the characters of the numerals num to v. num must be seven bytes longer, with
// any content below 128.
func (t *charset) characters(v, num []byte) {
	for i := 0; i < len(v); i += 8 {
		if i > 0 {
			i = min(i, len(v)-8) // the last eight may overlap those before them
		}
		x := binary.LittleEndian.Uint64(num[i : i+8])
		var y uint64
		for k := range t.runs {
			r := &t.runs[k]
			m, _ := moveRun(x, r.num, r.char, r.more)
			y |= m
		}
		switch n := len(v); {
		case n >= 8:
			binary.LittleEndian.PutUint64(v[i:], y)
		case n >= 4:
			binary.LittleEndian.PutUint32(v, uint32(y))
			binary.LittleEndian.PutUint32(v[n-4:], uint32(y>>(8*(n-4))))
		default:
			for j := range v {
				v[j] = byte(y >> (8 * j))
			}
		}
	}
}

// loadTail returns the last n bytes of v, fewer than 8, the first of them lowest. It reads only
// bytes of v, but may read some before the tail.
func loadTail(v []byte, n int) (x uint64) {
	switch {
	case len(v) >= 8:
		return binary.LittleEndian.Uint64(v[len(v)-8:]) >> (8 * (8 - uint(n)))
	case n >= 4: // v is the tail
		return uint64(binary.LittleEndian.Uint32(v)) | uint64(binary.LittleEndian.Uint32(v[n-4:]))<<(8*(uint(n)-4))
	}
	for j, c := range v {
		x |= uint64(c) << (8 * j)
	}
	return x
}

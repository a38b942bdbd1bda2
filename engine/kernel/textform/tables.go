package textform

// EncodeTables are the tables with which kernels with registers of 64 bytes write texts. Their size
// is a size class of the heap, so that they are aligned. Generators read the offsets of the fields
// from this declaration.
type EncodeTables struct {
	prefix [2][64]byte // pairs: first character by byte / 2; bits: permutations
	suffix [4][64]byte // pairs: second character by byte; bits: shifts, alphabet
	row    [3][64]byte // bytes of four rows: index into the halves, or framing
	mark   [64]byte    // first character by the first character of generation 0, mod 64
	length [64]byte    // index of the length of a lane's span among eight spans, of the first four
	lane   [64]byte    // index in the lane
	c16    [64]byte
	c20    [64]byte    // 0x20
	pair   [2][64]byte // like row, for two values of 32 characters and no framing
	one    [16]uint32  // 0, 1 alternating
	rowK   [3]uint64   // bit i set: byte i of row is an index
	markK  uint64      // first byte of every lane, if the form is marked
	bitsK  [2]uint64   // bits: which bytes of the permutations are bytes of the block
	le1    [16]byte    // 1, little endian
	c5e    [64]byte    // greatest byte of text less 0x20
	tens   [2][64]byte // pairs: byte minus its second digit, by byte / 2
	digit  [64]byte    // pairs: character by digit
	second [64]byte    // like length, of the other four
	_      [576]byte
}

func newEncodeTables(w *Writer) *EncodeTables {
	t := new(EncodeTables)
	t.le1[0] = 1
	for i := range 64 {
		t.length[i], t.second[i] = byte(8*(i/16)+4), byte(8*(i/16)+36)
		t.lane[i], t.c16[i], t.c20[i], t.c5e[i] = byte(i%16), 16, 0x20, 0x5e
		t.mark[i] = byte(i)
	}
	for i := range t.one {
		t.one[i] = uint32(i % 2)
	}
	switch w.form {
	case Pair62, Hex, UUID:
		t.pairs(w.form, w.gen)
		t.rows(w, pairPlace)
	case B64u, B32:
		t.rows(w, t.bits(w.form, w.chars))
	}
	return t
}

// pairPlace returns the index of character k of value id in the two halves.
func pairPlace(id, k int) byte { return byte(k&1*64 + id*16 + k/2) }

// pairs sets the tables of forms of two characters for each byte.
func (t *EncodeTables) pairs(f Form, gen int) {
	alphabet, radix := alphabet16, 16
	if f == Pair62 {
		alphabet, radix = alphabet62, 62
	}
	copy(t.digit[:], alphabet)
	for b := range 256 {
		t.prefix[b/128][b/2%64] = alphabet[b/radix]
		t.suffix[b/64][b%64] = alphabet[b%radix]
		t.tens[b/128][b/2%64] = byte(b / radix * radix)
	}
	if f == Pair62 {
		for d := range 5 {
			t.mark[('a'+d)%64] = alphabet62[5*gen+d]
		}
		t.markK = 0x0001000100010001
	}
	for i := range 128 {
		t.pair[i/64][i%64] = pairPlace(i/32, i%32)
	}
}

// bits sets the tables of forms of 5 or 6 bits for each character, and returns a function for the
// index of character k of value id in the two halves.
func (t *EncodeTables) bits(f Form, chars int) (place func(id, k int) byte) {
	// Groups of 8 characters come from 6 or 5 bytes of a lane, put into a quad
	// word most significant first; a shift for every character brings its bits low.
	group, width, alphabet := 6, 6, alphabet64
	if f == B32 {
		group, width, alphabet = 5, 5, alphabet32
	}
	per := (chars + 7) / 8 // groups of a value
	for q := range 4 * per {
		for j := range 8 {
			// Byte 7 - j of the quad word is byte j of the group; bytes after the block read as
			// zero.
			id, b := q/per, q%per*group+j
			if j < group && b < 16 {
				t.prefix[q/8][q%8*8+7-j] = byte(id*16 + b)
				t.bitsK[q/8] |= 1 << (q%8*8 + 7 - j)
			}
		}
	}
	for i := range 64 {
		t.suffix[0][i] = byte(64 - width*(i%8+1))
		t.suffix[1][i] = alphabet[i%len(alphabet)]
	}
	return func(id, k int) byte { return byte((id*per+k/8)*8 + k%8) }
}

// rows sets the bytes of four rows, whose characters have the indexes that place returns.
func (t *EncodeTables) rows(w *Writer, place func(id, k int) byte) {
	for i := range min(4*w.stride, 160) {
		id, k := i/w.stride, i%w.stride-len(w.pre)
		dash := false
		if w.form == UUID && k >= 0 {
			dash = k == 8 || k == 13 || k == 18 || k == 23
			for _, d := range []int{23, 18, 13, 8} {
				if k > d {
					k--
				}
			}
		}
		switch {
		case k < 0:
			t.row[i/64][i%64] = w.pre[k+len(w.pre)]
		case dash:
			t.row[i/64][i%64] = '-'
		case i%w.stride >= len(w.pre)+w.chars:
			t.row[i/64][i%64] = w.post[i%w.stride-len(w.pre)-w.chars]
		default:
			t.row[i/64][i%64] = place(id, k)
			t.rowK[i/64] |= 1 << (i % 64)
		}
	}
}

// DecodeTables are the tables with which kernels with registers of 64 bytes read texts. Their size is
// a size class of the heap, so that they are aligned. Generators read the offsets of the fields from
// this declaration.
type DecodeTables struct {
	digit  [128]byte     // digit by character, 0x80: none
	mark   [64]byte      // the generation mark's share of the first digit of a value
	weight [64]byte      // weights of the two digits of a byte
	pack   [64]byte      // low bytes of words
	last   [64]byte      // 15
	edge   [64]byte      // 15 minus the index in the lane
	c20    [64]byte      // 0x20
	lens   [16]uint32    // first double words of the lanes of two registers
	spans  [2][16]uint32 // double words of two registers alternately
	high   [64]byte      // high bytes of words
	c32    [16]uint32    // 0, 32 alternating
	c15d   [16]uint32    // 15
	c5e    [64]byte      // greatest byte of text less 0x20
	c16    [64]byte
	c15    [64]byte
	c16d   uint32 // 16
	_      [60]byte
}

func newDecodeTables(f Form, gen int) *DecodeTables {
	t := new(DecodeTables)
	digits, weight := &hexs, byte(16)
	if f == Pair62 {
		digits, weight = &digits62, 62
		t.mark[0], t.mark[32] = byte(5*gen), byte(5*gen)
	}
	for c := range 128 {
		t.digit[c] = digits[c] | digits[c]&0x80
		if digits[c] == noDigit {
			t.digit[c] = 0x80
		}
	}
	for i := range 64 {
		t.weight[i] = weight
		if i%2 == 1 {
			t.weight[i], t.high[i] = 1, 0xff
		}
		t.pack[i] = byte(2 * i)
		t.last[i], t.edge[i] = 15, byte(15-i%16)
		t.c20[i], t.c5e[i], t.c16[i], t.c15[i] = 0x20, 0x5e, 16, 15
	}
	t.c16d = 16
	for i := range t.c32 {
		t.c32[i], t.c15d[i] = uint32(i%2*32), 15
		t.lens[i] = uint32(4 * (i % 8))
		t.spans[i/8][i%8*2], t.spans[i/8][i%8*2+1] = uint32(i), uint32(16+i)
	}
	return t
}

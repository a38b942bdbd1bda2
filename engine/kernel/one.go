package kernel

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
)

// One-block values: 1 to 15 bytes of text, padded to a block (PKCS #7), enciphered
// under a one-block Cipher and written in a text form, many a call. The kernels know
// two shapes of output, rows and places:
//
//	rows    pre ‖ text ‖ post, one after the other
//	places  text alone, each where the caller says
//
// All functions here work on the leading values that are theirs to do, and say how
// many those were; the caller does the next one in its own way and comes back.

// Framing is at most maxFraming bytes, pre and post together, for kernels to write it.
const maxFraming = 4

// Writer is how blocks become text: form, generation mark and framing. It holds
// nothing secret, is immutable, and safe for concurrent use.
type Writer struct {
	form      Form
	gen       int
	pre, post string
	chars     int // characters of a block
	stride    int // of a row
	tab       *encTables
}

// encTables is what kernels read; one size class of the heap, so that it is aligned.
type encTables struct {
	prefix [2][64]byte // 0: pairs: first character by byte / 2; bits: permutations
	suffix [4][64]byte // 128: pairs: second character by byte; bits: shifts, alphabet
	row    [3][64]byte // 384: bytes of four rows: index into the halves, or framing
	mark   [64]byte    // 576: first character by the first character of generation 0, mod 64
	length [64]byte    // 640: where the length of a lane's span stands among eight spans, of the first four
	lane   [64]byte    // 704: place in the lane
	c16    [64]byte    // 768
	c20    [64]byte    // 832: 0x20
	pair   [2][64]byte // 896: like row, for two values of 32 characters and no framing
	one    [16]uint32  // 1024: 0, 1 alternating
	rowK   [3]uint64   // 1088: bit i set: byte i of row is an index
	markK  uint64      // 1112: first byte of every lane, where there is a mark
	bitsK  [2]uint64   // 1120: bits: which bytes of the permutations stand for a byte
	le1    [16]byte    // 1136: 1, little endian
	c5e    [64]byte    // 1152: greatest byte of text less 0x20
	tens   [2][64]byte // 1216: pairs: byte less its second digit, by byte / 2
	digit  [64]byte    // 1344: pairs: character by digit
	second [64]byte    // 1408: like length, of the other four
	_      [576]byte
}

// NewWriter prepares rows of one block in form f, with the mark of generation gen,
// between pre and post.
func NewWriter(f Form, gen int, pre, post string) *Writer {
	w := &Writer{form: f, gen: gen, pre: pre, post: post, chars: f.EncodedLen(16), tab: new(encTables)}
	w.stride = len(pre) + w.chars + len(post)
	t := w.tab
	t.le1[0] = 1
	for i := range 64 {
		t.length[i], t.second[i] = byte(8*(i/16)+4), byte(8*(i/16)+36)
		t.lane[i], t.c16[i], t.c20[i], t.c5e[i] = byte(i%16), 16, 0x20, 0x5e
		t.mark[i] = byte(i)
	}
	for i := range t.one {
		t.one[i] = uint32(i % 2)
	}
	var place func(id, k int) byte // where character k of value id stands in the two halves
	switch f {
	case Pair62, Hex, UUID:
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
		place = func(id, k int) byte { return byte(k&1*64 + id*16 + k/2) }
		for i := range 128 {
			t.pair[i/64][i%64] = place(i/32, i%32)
		}
	case B64u, B32:
		// Groups of 8 characters come from 6 or 5 bytes of a lane, put into a quad
		// word most significant first; a shift for every character brings its bits low.
		group, width, alphabet := 6, 6, alphabet64
		if f == B32 {
			group, width, alphabet = 5, 5, alphabet32
		}
		per := (w.chars + 7) / 8 // groups a value
		for q := range 4 * per {
			for j := range 8 {
				// Byte 7 - j of the quad word is byte j of the group; what is past the
				// block reads as zero.
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
		place = func(id, k int) byte { return byte((id*per+k/8)*8 + k%8) }
	}
	for i := range min(4*w.stride, 160) {
		id, k := i/w.stride, i%w.stride-len(pre)
		dash := false
		if f == UUID && k >= 0 {
			dash = k == 8 || k == 13 || k == 18 || k == 23
			for _, d := range []int{23, 18, 13, 8} {
				if k > d {
					k--
				}
			}
		}
		switch {
		case k < 0:
			t.row[i/64][i%64] = pre[k+len(pre)]
		case dash:
			t.row[i/64][i%64] = '-'
		case i%w.stride >= len(pre)+w.chars:
			t.row[i/64][i%64] = post[i%w.stride-len(pre)-w.chars]
		default:
			t.row[i/64][i%64] = place(id, k)
			t.rowK[i/64] |= 1 << (i % 64)
		}
	}
	return w
}

var writers sync.Map // writerKey → *Writer, for framings in common use

type writerKey struct {
	form      Form
	gen       int
	pre, post string
}

// WriterFor is NewWriter that remembers: equal arguments give one Writer. Framings too
// long for kernels are not remembered, so that what callers invent cannot fill memory.
func WriterFor(f Form, gen int, pre, post string) *Writer {
	if len(pre)+len(post) > maxFraming {
		return NewWriter(f, gen, pre, post)
	}
	key := writerKey{f, gen, pre, post}
	if w, ok := writers.Load(key); ok {
		return w.(*Writer)
	}
	w, _ := writers.LoadOrStore(key, NewWriter(f, gen, pre, post))
	return w.(*Writer)
}

// Is says whether NewWriter with these arguments would make an equal Writer.
func (w *Writer) Is(f Form, gen int, pre, post string) bool {
	return w.form == f && w.gen == gen && w.pre == pre && w.post == post
}

// Stride returns the length of a row.
func (w *Writer) Stride() int { return w.stride }

// append writes the row of a block.
func (w *Writer) append(dst []byte, block *[16]byte) []byte {
	n := len(dst)
	dst = dst[:n+w.stride]
	row := dst[n:]
	for i := range len(w.pre) {
		row[i] = w.pre[i]
	}
	text := row[len(w.pre):]
	w.encode(text[:w.chars], block)
	text = text[w.chars:]
	for i := range len(w.post) {
		text[i] = w.post[i]
	}
	return dst
}

// encode writes the text of a block.
func (w *Writer) encode(text []byte, block *[16]byte) {
	switch w.form {
	case Pair62:
		d := (*[32]byte)(text)
		encode16(d, block, &pairs62)
		d[0] = first62[w.gen][block[0]]
	case Hex:
		encode16((*[32]byte)(text), block, &pairs16)
	default:
		w.form.Encode(text, block[:], w.gen)
	}
}

// Reader is how texts of one block are read: form and generation. It holds nothing
// secret, is immutable, and safe for concurrent use.
type Reader struct {
	form  Form
	gen   int
	chars int
	tab   *decTables
}

// decTables is what kernels read; one size class of the heap, so that it is aligned.
type decTables struct {
	digit  [128]byte     // 0: digit by character, 0x80: none
	mark   [64]byte      // 128: what the mark adds to the first digit of a value
	weight [64]byte      // 192: weights of the two digits of a byte
	pack   [64]byte      // 256: low bytes of words
	last   [64]byte      // 320: 15
	edge   [64]byte      // 384: 15 less the place in the lane
	c20    [64]byte      // 448: 0x20
	lens   [16]uint32    // 512: first double words of the lanes of two registers
	spans  [2][16]uint32 // 576: double words of two registers in turn
	high   [64]byte      // 704: high bytes of words
	c32    [16]uint32    // 768: 0, 32 alternating
	c15d   [16]uint32    // 832: 15
	c5e    [64]byte      // 896: greatest byte of text less 0x20
	c16    [64]byte      // 960
	c15    [64]byte      // 1024
	c16d   uint32        // 1088: 16
	_      [60]byte
}

// NewReader prepares to read texts of one block in form f, which a marked form must
// mark with generation gen.
func NewReader(f Form, gen int) *Reader {
	r := &Reader{form: f, gen: gen, chars: f.EncodedLen(16), tab: new(decTables)}
	t := r.tab
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
		t.c20[i], t.c5e[i], t.c16[i], t.c15[i] = 0x20, asciiText, 16, 15
	}
	t.c16d = 16
	for i := range t.c32 {
		t.c32[i], t.c15d[i] = uint32(i%2*32), 15
		t.lens[i] = uint32(4 * (i % 8))
		t.spans[i/8][i%8*2], t.spans[i/8][i%8*2+1] = uint32(i), uint32(16+i)
	}
	return r
}

var readers [UUID + 1][maxGen]atomic.Pointer[Reader]

// ReaderFor is NewReader that remembers.
func ReaderFor(f Form, gen int) *Reader {
	p := &readers[f][gen]
	r := p.Load()
	if r == nil {
		r = NewReader(f, gen)
		p.Store(r)
	}
	return r
}

// SealRows enciphers the leading values that are 1 to 15 bytes of text, appends their
// rows to dst, and writes off, len in dst of each text to out, which has room for all
// values. It returns dst, grown where it had to be, and how many values it did. Bytes
// of dst behind its length, within its capacity, may hold anything after.
func (c *Cipher) SealRows(w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	if len(out) < 2*n {
		panic(fmt.Sprintf("kernel: %d values, room for %d results", n, len(out)/2))
	}
	dst = room(dst, n*w.stride)
	return c.sealRows(w, dst, arena, spans, out)
}

// Plain ASCII goes through kernels; with anyText they take any bytes, which the caller
// has looked at or will. Both are the greatest byte less 0x20.
const (
	asciiText = 0x5e
	anyText   = 0xff
)

// rowSlack is how far kernels may write behind the last row.
const rowSlack = 96

func (c *Cipher) sealRowsGeneric(w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n, done := len(spans)/2, 0
	t := getScratch()
	defer t.put()
	for done < n {
		k := t.seal(c, arena, spans[2*done:])
		for i := range k {
			out[2*(done+i)], out[2*(done+i)+1] = uint32(len(dst)+i*w.stride+len(w.pre)), uint32(w.chars)
		}
		dst = w.appendRows(dst, t.msg[:16*k])
		done += k
		if k < together && done < n {
			break
		}
	}
	return dst, done
}

// together is how many blocks go through the steps of portable code side by side:
// right behind a store of two halves a load of the whole block would wait.
const together = 16

// seal pads and enciphers leading values, together at most, into t.msg, and returns how
// many: those that are 1 to 15 bytes of text.
func (t *scratch) seal(c *Cipher, arena []byte, spans []uint32) int {
	n := min(len(spans)/2, together)
	k := 0
	for k < n && pad((*[16]byte)(t.msg[16*k:]), arena, spans[2*k], spans[2*k+1]) {
		k++
	}
	c.xorTweak(t.msg[:16*k])
	for i := range k {
		b := t.msg[16*i:][:16]
		c.block.Encrypt(b, b)
	}
	c.xorTweak(t.msg[:16*k])
	return k
}

// xorTweak adds the POLYVAL state of the tweak to blocks: what is left of HCTR2 around
// AES when the message is one block.
func (c *Cipher) xorTweak(blocks []byte) {
	x0, x1 := binary.LittleEndian.Uint64(c.s.even[:]), binary.LittleEndian.Uint64(c.s.even[8:])
	for len(blocks) >= 16 {
		b := blocks[:16]
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^x0)
		binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(b[8:])^x1)
		blocks = blocks[16:]
	}
}

// pad writes the padded block of the value at off, n in arena to b if it is 1 to 15
// bytes of text.
func pad(b *[16]byte, arena []byte, off, n uint32) bool {
	if n-1 > 14 {
		return false
	}
	var lo, hi uint64
	if v := arena[off:cap(arena)]; len(v) >= 16 {
		lo, hi = binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:])
	} else {
		*b = [16]byte{}
		copy(b[:], v[:n])
		lo, hi = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	}
	// Ones where the padding goes.
	const ones = 0x0101010101010101
	mlo, mhi := ^uint64(0)<<(8*min(n, 8)), ^uint64(0)<<(8*(max(n, 8)-8))
	h1, c1 := asciiWord(lo&^mlo | mlo&(0x20*ones))
	h2, c2 := asciiWord(hi&^mhi | mhi&(0x20*ones))
	if h1|h2|c1|c2 != 0 && !IsText(arena[off:][:n]) {
		return false
	}
	fill := uint64(16-n) * ones
	binary.LittleEndian.PutUint64(b[:], lo&^mlo|fill&mlo)
	binary.LittleEndian.PutUint64(b[8:], hi&^mhi|fill&mhi)
	return true
}

// encryptOne is Encrypt of one block, which is on the heap or goes there.
func (c *Cipher) encryptOne(b *[16]byte) {
	c.xorTweak(b[:])
	c.block.Encrypt(b[:], b[:])
	c.xorTweak(b[:])
}

func (c *Cipher) decryptOne(b *[16]byte) {
	c.xorTweak(b[:])
	c.block.Decrypt(b[:], b[:])
	c.xorTweak(b[:])
}

// SealAt is SealRows with the text of value i written to dst[at[i]:] and nothing else
// touched.
func (c *Cipher) SealAt(w *Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	n := len(spans) / 2
	at, spans = at[:n], spans[:2*n]
	if checkPlaces(pairsOf(spans), at, uint64(len(dst)-w.chars)) != 0 {
		panic("kernel: a value has no room at its place")
	}
	return c.sealAt(w, dst, at, arena, spans)
}

// EncodeAt writes the text of block i of blocks to dst[at[i]:] and touches nothing else.
func (w *Writer) EncodeAt(dst []byte, at []uint32, blocks []byte) {
	if len(blocks) < 16*len(at) {
		panic("kernel: fewer blocks than places")
	}
	for _, o := range at {
		_ = dst[o:][:w.chars]
	}
	w.encodeAt(dst, at, blocks)
}

func (w *Writer) encodeAtGeneric(dst []byte, at []uint32, blocks []byte) {
	for i, o := range at {
		w.encode(dst[o:][:w.chars], (*[16]byte)(blocks[16*i:]))
	}
}

// checkPlaces returns other than 0 if a value of 1 to 15 bytes goes to a place behind
// room.
//
//go:noinline
func checkPlaces(spans [][2]uint32, at []uint32, room uint64) (wrong uint64) {
	at = at[:len(spans)]
	for i, p := range spans {
		mine := (uint64(p[1]) - 1 - 15) >> 63 // 1 to 15
		wrong |= (room - uint64(at[i])) >> 63 & mine &^ ((uint64(p[1]) - 1) >> 63)
	}
	return wrong
}

func (c *Cipher) sealAtGeneric(w *Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	n, done := len(spans)/2, 0
	t := getScratch()
	defer t.put()
	for done < n {
		k := t.seal(c, arena, spans[2*done:])
		for i := range k {
			w.encode(dst[at[done]:][:w.chars], (*[16]byte)(t.msg[16*i:]))
			done++
		}
		if k < together && done < n {
			break
		}
	}
	return done
}

// OpenRows deciphers the leading values that are texts of one block, of the Reader's
// generation, whose blocks are padded text. It appends pre, the value and post of each
// to dst and otherwise is as SealRows.
func (c *Cipher) OpenRows(r *Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	if len(out) < 2*n {
		panic(fmt.Sprintf("kernel: %d values, room for %d results", n, len(out)/2))
	}
	dst = room(dst, n*(15+len(pre)+len(post)))
	return c.openRows(r, pre, post, dst, arena, spans, out)
}

func (c *Cipher) openRowsGeneric(r *Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	t := getScratch()
	defer t.put()
	for i := range n {
		l, ok := c.open(r, &t.b, arena[spans[2*i]:][:spans[2*i+1]])
		if !ok {
			return dst, i
		}
		dst = append(dst, pre...)
		out[2*i], out[2*i+1] = uint32(len(dst)), uint32(l)
		dst = append(append(dst, t.b[:l]...), post...)
	}
	return dst, n
}

// open decodes and deciphers the text x and returns the length of the value in b.
func (c *Cipher) open(r *Reader, b *[16]byte, x []byte) (n int, ok bool) {
	if len(x) != r.chars {
		return 0, false
	}
	gen, ok := r.form.Decode(b[:], x)
	if !ok || r.form.Marked() && gen != r.gen {
		return 0, false
	}
	c.decryptOne(b)
	return openBlock(b)
}

// TranslateRows is OpenRows under c followed by SealRows under to, the values in
// registers only. Besides what OpenRows leaves to the caller it leaves empty values.
func (c *Cipher) TranslateRows(r *Reader, to *Cipher, w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	if len(out) < 2*n {
		panic(fmt.Sprintf("kernel: %d values, room for %d results", n, len(out)/2))
	}
	dst = room(dst, n*w.stride)
	return c.translateRows(r, to, w, dst, arena, spans, out)
}

func (c *Cipher) translateRowsGeneric(r *Reader, to *Cipher, w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	t := getScratch()
	defer t.put()
	for i := range n {
		l, ok := c.open(r, &t.b, arena[spans[2*i]:][:spans[2*i+1]])
		if !ok || l == 0 {
			return dst, i
		}
		to.encryptOne(&t.b)
		out[2*i], out[2*i+1] = uint32(len(dst)+len(w.pre)), uint32(w.chars)
		dst = w.append(dst, &t.b)
	}
	return dst, n
}

// room returns b with room for n more bytes; what must move gets slack for kernels.
func room(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return grow(b, n+rowSlack)
}

// grow returns b with room for n more bytes, at least doubling when it must move.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	g := make([]byte, len(b), max(2*cap(b), len(b)+n))
	copy(g, b)
	return g
}

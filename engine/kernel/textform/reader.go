package textform

import "sync/atomic"

// Reader decodes texts of one block in a form and of a generation. It holds nothing secret, is
// immutable, and safe for concurrent use.
type Reader struct {
	form   Form
	gen    int
	chars  int
	tables *DecodeTables
}

// NewReader returns a Reader of form f. Texts of a marked form must name generation gen.
func NewReader(f Form, gen int) *Reader {
	return &Reader{form: f, gen: gen, chars: f.EncodedLen(16), tables: newDecodeTables(f, gen)}
}

var readers [UUID + 1][Generations]atomic.Pointer[Reader]

// ReaderFor is NewReader with a cache.
func ReaderFor(f Form, gen int) *Reader {
	p := &readers[f][gen]
	r := p.Load()
	if r == nil {
		r = NewReader(f, gen)
		p.Store(r)
	}
	return r
}

// Chars returns the length of the text of a block.
func (r *Reader) Chars() int { return r.chars }

// Form returns the form of the texts.
func (r *Reader) Form() Form { return r.form }

// DecodeTables returns the tables for kernels with registers of 64 bytes.
func (r *Reader) DecodeTables() *DecodeTables { return r.tables }

// Decode decodes text into block and reports whether it is the text of a block, of the Reader's
// generation if the form is marked. If not, the content of block is undefined.
func (r *Reader) Decode(block *[16]byte, text []byte) bool {
	if len(text) != r.chars {
		return false
	}
	gen, ok := r.form.Decode(block[:], text)
	return ok && (!r.form.Marked() || gen == r.gen)
}

package textform

import (
	"fmt"
	"slices"
	"sync"
)

// MaxFraming is the largest number of bytes, pre and post together, that kernels write around a text.
const MaxFraming = 4

// RowPadding is how far kernels may write after the last row.
const RowPadding = 96

// Writer encodes blocks as text in a form, with a generation mark and framing. It holds nothing
// secret, is immutable, and safe for concurrent use.
type Writer struct {
	form      Form
	gen       int
	pre, post string
	chars     int // characters of a block
	stride    int // of a row
	tables    *EncodeTables
}

// NewWriter returns a Writer of rows of one block in form f, with the mark of generation gen,
// between pre and post.
func NewWriter(f Form, gen int, pre, post string) *Writer {
	w := &Writer{form: f, gen: gen, pre: pre, post: post, chars: f.EncodedLen(16)}
	w.stride = len(pre) + w.chars + len(post)
	w.tables = newEncodeTables(w)
	return w
}

var writers sync.Map // writerKey → *Writer, for framings in common use

type writerKey struct {
	form      Form
	gen       int
	pre, post string
}

// WriterFor is NewWriter with a cache: equal arguments give the same Writer. Framings that are too
// long for kernels are not cached, so that callers cannot fill memory with them.
func WriterFor(f Form, gen int, pre, post string) *Writer {
	if len(pre)+len(post) > MaxFraming {
		return NewWriter(f, gen, pre, post)
	}
	key := writerKey{f, gen, pre, post}
	if w, ok := writers.Load(key); ok {
		return w.(*Writer)
	}
	w, _ := writers.LoadOrStore(key, NewWriter(f, gen, pre, post))
	return w.(*Writer)
}

// Is reports whether NewWriter with these arguments would return an equal Writer.
func (w *Writer) Is(f Form, gen int, pre, post string) bool {
	return w.form == f && w.gen == gen && w.pre == pre && w.post == post
}

// Stride returns the length of a row.
func (w *Writer) Stride() int { return w.stride }

// Chars returns the length of the text of a block.
func (w *Writer) Chars() int { return w.chars }

// Form returns the form of the texts.
func (w *Writer) Form() Form { return w.form }

// Gen returns the generation that marked texts name.
func (w *Writer) Gen() int { return w.gen }

// Pre returns the framing before a text.
func (w *Writer) Pre() string { return w.pre }

// Post returns the framing after a text.
func (w *Writer) Post() string { return w.post }

// EncodeTables returns the tables for kernels with registers of 64 bytes.
func (w *Writer) EncodeTables() *EncodeTables { return w.tables }

// PairTables returns the tables for kernels with narrower registers, for a form of pairs.
func (w *Writer) PairTables() *PairTables { return pairTablesOf(w.form, w.gen) }

// Framed reports whether kernels write the framing, which has at most MaxFraming bytes then.
func (w *Writer) Framed() bool { return w.stride <= w.chars+MaxFraming }

// Rows appends a row for every 16 bytes of blocks to dst, in the Writer's form and framing, and
// writes off, len in dst of each text to out, which must have a pair for each. Bytes after the
// length of dst, within its capacity, are undefined afterwards. It allocates only to grow dst.
func (w *Writer) Rows(dst, blocks []byte, out []uint32) []byte {
	n := len(blocks) / 16
	if len(blocks)%16 != 0 || len(out) < 2*n {
		panic(fmt.Sprintf("textform: %d bytes of blocks, room for %d results", len(blocks), len(out)/2))
	}
	place := uint32(len(dst) + len(w.pre))
	for i := range n {
		out[2*i], out[2*i+1] = place, uint32(w.chars)
		place += uint32(w.stride)
	}
	if n == 0 {
		return dst
	}
	return w.rows(dst, blocks)
}

// rowsGeneric is Rows in portable Go.
func (w *Writer) rowsGeneric(dst, blocks []byte) []byte {
	return w.AppendRows(slices.Grow(dst, len(blocks)/16*w.stride), blocks)
}

// EncodeAt writes the text of block i of blocks to dst[at[i]:] and nothing else.
func (w *Writer) EncodeAt(dst []byte, at []uint32, blocks []byte) {
	if len(blocks) < 16*len(at) {
		panic("textform: fewer blocks than places")
	}
	for _, o := range at {
		_ = dst[o:][:w.chars]
	}
	w.encodeAt(dst, at, blocks)
}

func (w *Writer) encodeAtGeneric(dst []byte, at []uint32, blocks []byte) {
	for i, o := range at {
		w.EncodeBlock(dst[o:][:w.chars], (*[16]byte)(blocks[16*i:]))
	}
}

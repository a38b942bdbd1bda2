package csvfast

import "bytes"

// The structural index.
//
// A window of at most 8 KiB is indexed at a time, so that the index stays in the
// first-level cache until it is used. For every separator outside quotes (a
// delimiter or an LF; each ends a field) there is one entry, in order:
//
//	bits 0–28  its offset, counted from the window's start
//	bit 29     the field that ends here holds doubled quotes
//	bit 30     the field holds quotes: it starts and ends with one
//	bit 31     the separator ends a row
//
// Quotes are checked in the same pass. Masks have a bit for each of the 64 bytes
// of a block; what crosses a block border is carried in indexState:
//
//	q, all, nl  = quotes; delimiters and LFs; LFs
//	in          = prefix-XOR of q, inverted when the block starts inside quotes:
//	              set from an opening quote to before its closing quote
//	sep         = all &^ in
//	open, close = q & in, q &^ in     (a doubled quote closes and opens again)
//	behind      = close << 1          (the bytes behind closing quotes)
//	bad        |= open &^ ((sep | close) << 1)       an opening quote stands at a
//	                                                 field's start or doubles
//	bad        |= behind &^ (sep | open | CR before LF)
//	quoted      = (^sep + q) & sep            the addition's carry runs from a quote
//	doubled     = (^sep + open & behind) & sep   through its field to the separator
//
// A window without quotes needs none of these checks: a faster loop indexes it up to the first
// quote.

const (
	window       = 8 << 10 // bytes indexed at a time
	entryPadding = 64      // entries that a kernel may write behind the last one
)

// Parts of an entry of an [Index].
const (
	EntryPos     = 1<<29 - 1 // where the field ends, from the window's start
	EntryDoubled = 1 << 29   // the field holds doubled quotes
	EntryQuoted  = 1 << 30   // the field starts and ends with a quote
	EntryRow     = 1 << 31   // the field is the last of its row
)

const (
	entryPos     = EntryPos
	entryDoubled = EntryDoubled
	entryQuoted  = EntryQuoted
)

// Index returns where the fields of a buffer of whole rows end, window by window. [Selector]
// and [Reader] are built on the same index. One goroutine at a time uses it; it allocates
// nothing.
//
//	x.Reset(buf)
//	for x.Next() {
//		for _, e := range x.Entries {
//			end := x.Base + int(e&csvfast.EntryPos)
//			…
//		}
//	}
//	err := x.Err()
//
// A field extends from after the previous entry (or the start of the buffer) to its own
// entry. The CR of a CRLF row end is part of the last field. Empty lines have an entry too.
type Index struct {
	Entries []uint32 // of the current window, in order
	Base    int      // the window's offset

	d    Dialect
	buf  []byte
	next int
	err  error
	x    indexer
}

// NewIndex makes an index for files of dialect d.
func NewIndex(d Dialect) (*Index, error) {
	d = d.normal()
	if err := d.check(); err != nil {
		return nil, err
	}
	return &Index{d: d}, nil
}

// Reset sets a new buffer, which starts at a row start and ends at a row end or at the end of
// the input. The buffer must not change until Next returns false.
func (x *Index) Reset(buf []byte) {
	x.buf, x.next, x.err, x.Entries, x.Base = buf, 0, nil, nil, 0
	x.x.reset(x.d)
}

// Next indexes the next window. It returns false at the end and at an error; it never returns
// the entries of a window with an error.
func (x *Index) Next() bool {
	x.Entries = nil
	if x.next == len(x.buf) {
		return false
	}
	x.Base = x.next
	n, next := x.x.window(x.buf, x.next, true)
	if x.x.state.bad != 0 || next == len(x.buf) && !x.x.over() {
		x.next = len(x.buf)
		x.err = x.fault(x.Base)
		return false
	}
	x.next = next
	x.Entries = x.x.entries[1 : 1+n]
	return true
}

// Err returns the *ParseError at which Next has stopped, or nil. Its lines and offset are
// relative to the buffer.
func (x *Index) Err() error { return x.err }

// fault returns the error that the index has detected in the window at w or later.
func (x *Index) fault(w int) error {
	at := max(x.d.LastRowEnd(x.buf[:w], false), 0)
	c := cursor{at, 1 + bytes.Count(x.buf[:at], lf)}
	var row []span
	for c.at < len(x.buf) {
		var err *ParseError
		if row, _, c, err = x.d.scanRow(row[:0], x.buf, c); err != nil {
			return err
		}
	}
	panic("csvfast: the index refuses what scanRow accepts")
}

// indexState is the state that one block passes to the next, and the result of a call. The
// kernels know the offsets of its fields.
type indexState struct {
	inside   uint64 // 0: +0   all ones inside quotes, else 0
	quoted   uint64 // 1: +8   all ones when the open field holds a quote, else 0
	doubled  uint64 // 2: +16  all ones when it holds a doubled quote, else 0
	mayOpen  uint64 // 3: +24  1 when the byte before is a separator, a closing quote or none, else 0
	closed   uint64 // 4: +32  1 when the byte before is a closing quote, else 0
	closedCR uint64 // 5: +40  1 when the byte before is a CR behind a closing quote, else 0
	bad      uint64 // 6: +48  not 0 once a quote stood where it must not
	quotes   uint64 // 7: +56  not 0 once there was a quote
	doubles  uint64 // 8: +64  not 0 once a field with doubled quotes ended
	rows     uint64 // 9: +72  row ends so far
	lines    uint64 // 10: +80 LFs so far
	blocks   uint64 // 11: +88 blocks that the last call of a plain kernel indexed
	comma    uint64 // 12: +96 the dialect, bytes
	quote    uint64 // 13: +104
}

// indexer indexes a buffer window by window.
type indexer struct {
	state   indexState
	quoted  bool // the last window held quotes
	dense   bool // the last window held 10 entries a block or more
	tail    [64]byte
	paths   indexerPaths
	entries [1 + window + 64 + entryPadding]uint32 // entries[0] is for the user: the separator before the window
}

// reset prepares for a buffer that starts at a row start. d is normal.
func (x *indexer) reset(d Dialect) {
	x.state = indexState{mayOpen: 1, comma: uint64(d.Comma), quote: uint64(d.Quote)}
}

// window indexes the window of buf at w, where the previous one ended. It returns the number
// of entries from entries[1] on, with offsets from w, and the start of the next window. With
// final, the end of buf is the end of the input: the bytes after the last whole block are
// indexed too, and if the last row has no LF, it gets an entry at len(buf), which lines and
// rows count. Without final these bytes are left to the next buffer.
func (x *indexer) window(buf []byte, w int, final bool) (n, next int) {
	before := x.state.quotes
	x.state.quotes = 0
	end := min(w+window, len(buf))
	raceRead(buf[w:end])
	whole := w + (end-w)&^63
	n = x.blocks(buf[w:whole], 0, 0)
	next = whole
	if end == len(buf) && final {
		rest := copy(x.tail[:], buf[whole:])
		if buf[len(buf)-1] != '\n' {
			x.tail[rest] = '\n' // rest is at most 63
			rest++
		}
		if rest > 0 {
			x.paths.endings++
			clear(x.tail[rest:]) // NUL has no meaning in any dialect
			n = x.blocks(x.tail[:], uint32(whole-w), n)
		}
		next = end
	}
	x.quoted = x.state.quotes != 0
	x.dense = n >= (end-w)/64*10
	x.state.quotes |= before
	return n, next
}

// blocks indexes whole blocks, appends their entries to the first n, and returns the new number.
func (x *indexer) blocks(p []byte, base uint32, n int) int {
	st := &x.state
	if !x.quoted && st.inside|st.closed|st.closedCR == 0 && len(p) > 0 {
		x.paths.plain[boolIndex(x.dense)]++
		n += st.plain(p, base, x.entries[1+n:], x.dense)
		done := st.blocks * 64
		p, base = p[done:], base+uint32(done)
		x.quoted = len(p) > 0
	}
	if len(p) > 0 {
		x.paths.strict[boolIndex(x.dense)]++
		n += st.strict(p, base, x.entries[1+n:], x.dense)
	}
	return n
}

// over reports whether the last row of the input was complete and valid.
func (x *indexer) over() bool {
	return x.state.bad == 0 && x.state.inside == 0
}

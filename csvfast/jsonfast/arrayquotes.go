package jsonfast

import (
	"math/bits"
	"slices"

	"github.com/velonym/velonym/internal/simd"
)

// The strings of an array are found in blocks of 64 bytes. Masks of a block have a bit for each
// byte:
//
//	bs       backslashes. Every other one of a run, from its start, escapes the next byte;
//	         the run may start in the previous block
//	q        quotes that are not escaped
//	in       running parity of q (a carry-less product with all ones), inverted if the
//	         block starts inside a string: opening quotes and contents of strings
//	closing  q &^ in
//	opening  q & in
//	comma    commas outside of strings (&^ in)
//	blank    bytes outside of strings that are not commas; they must be white space
//
// Between two strings there must be one comma, and there may be white space:
//
//	due  = closing<<1 | the comma still due from the previous block
//	due  = (due + blank) &^ blank     the sum carries over runs of blanks
//	must equal comma; the same from comma<<1 must equal opening
//
// No byte below 0x20 may occur inside a string. A block that breaks a rule is left to the
// portable code, which also handles items that are not strings, the end of the array, and
// errors. The positions of q's bits are written in order and then converted in place from
// pairs of quotes to offset and length.
//
// Escapes are rare. A kernel writes a note with the masks of a block that has one, and the
// caller checks its escapes one by one. Of bytes from 0x80 up a kernel only reports that there
// are some; the caller then validates UTF-8.

// arrayBlocks is the number of blocks for one call of arrayQuotes: 4 KiB remain in the
// first-level cache for the following steps.
const arrayBlocks = 64

// arrayRetry is the number of items that are read one by one after a call of arrayQuotes that
// stopped in its first block.
const arrayRetry = 8

// arrayState is the state that one call of arrayQuotes passes to the next, and its results. The
// kernels know its layout.
type arrayState struct {
	inString uint64 // all ones: the next byte is inside a string
	escaped  uint64 // 1: the next byte is escaped
	closed   uint64 // 1: a string has ended and its comma has not been read
	high     uint64 // result: not zero if a byte from 0x80 up was read
	quotes   uint64 // result: number of positions written
	notes    uint64 // result: the number of notes written is added
}

// arrayNote describes a block with escapes. The kernels know its layout.
type arrayNote struct {
	offset  uint32 // of the block
	quotes  uint32 // positions written before the block
	escapes uint64 // backslashes that escape
	quote   uint64 // quotes that are not escaped
}

// arrayQuotes finds unescaped quotes in blocks of 64 bytes of p and writes their positions,
// counted from base, to out. It stops before a block that breaks a rule and returns the number
// of blocks done. out must hold 64·blocks+64 positions, of which those after st.quotes are
// undefined, and notes one note for each block. The last note may be that of the block before
// which it stopped.
func arrayQuotes(p []byte, base uint32, out []uint32, notes []arrayNote, st *arrayState) (done int) {
	blocks := len(p) / 64
	_ = out[64*blocks+63]
	_ = notes[blocks-1]
	return arrayQuotesTier(p, blocks, base, out, notes, st)
}

// arraySpans converts pairs of quote positions, in place, to the offset and length of the text
// between the quotes.
func arraySpans(pairs []uint32) {
	for i := arraySpansTier(pairs); i+1 < len(pairs); i += 2 {
		pairs[i], pairs[i+1] = pairs[i]+1, pairs[i+1]-pairs[i]-1
	}
}

// items reads the items of the data array from i, after its '[', and returns the position
// after its ']'.
func (a *Array) items(buf []byte, i int) (int, string) {
	i = skipSpace(buf, i)
	if i < len(buf) && buf[i] == ']' {
		return i + 1, ""
	}
	begin := i
	slow := 0 // items to read one by one before the next call of a kernel; -1: all
	if simd.Active() == simd.Generic {
		slow = -1
	}
	for {
		more := true
		if slow == 0 && len(buf)-i >= 2*64 {
			next, between, ok := a.run(buf, i)
			if !ok { // there is an error: find the first one by reading again
				a.Spans, a.Escaped, a.NotString = a.Spans[:0], a.Escaped[:0], a.NotString[:0]
				a.paths.restarts++
				i, slow = begin, -1
				continue
			}
			if next-i < 64 {
				a.paths.pauses++
				slow = arrayRetry
			}
			i, more = next, !between
		} else if slow > 0 {
			slow--
		}
		if more {
			i = skipSpace(buf, i)
			var reason string
			if i, reason = a.item(buf, i); reason != "" {
				return i, reason
			}
		}
		i = skipSpace(buf, i)
		if i == len(buf) {
			return i, reasonEnd
		}
		switch buf[i] {
		case ',':
			i = skipSpace(buf, i+1)
		case ']':
			return i + 1, ""
		default:
			return i, reasonComma
		}
	}
}

// run reads strings from i, at which an item must start, as far as the kernels can, and returns
// the position after them. There, a comma or the end of the array must follow if between is
// set, otherwise an item. ok is false if a string is invalid.
func (a *Array) run(buf []byte, i int) (next int, between, ok bool) {
	var st arrayState
	first := len(a.Spans) // index of the first quote position that is not yet a span
	unchecked := -1       // start of a character that the end of a window has cut
	past := 0             // end of an escape that extends into the next block
	for len(buf)-i >= 64 {
		blocks := min((len(buf)-i)/64, arrayBlocks)
		a.grow(64*blocks+64, i, len(buf)-i)
		have := len(a.Spans)
		st.notes = 0
		done := arrayQuotes(buf[i:i+64*blocks], uint32(i), a.Spans[have:cap(a.Spans)], a.notes[:], &st)
		end := i + 64*done
		a.Spans = a.Spans[:have+int(st.quotes)]
		a.paths.kernel++
		if st.notes > 0 {
			a.paths.noted++
		}
		for k := range a.notes[:st.notes] {
			n := &a.notes[k]
			if int(n.offset) >= end {
				break
			}
			if past, ok = a.escapes(buf, n, have, past); !ok {
				return i, false, false
			}
		}
		if st.high != 0 || unchecked >= 0 {
			a.paths.validated++
			if unchecked < 0 {
				unchecked = i
			} else {
				a.paths.cutRunes++
			}
			cut := unchecked + wholeRunes(buf[unchecked:end])
			if !validUTF8(buf[unchecked:cut]) {
				return i, false, false
			}
			unchecked = cut
			if cut == end {
				unchecked = -1
			}
		}
		pairs := (len(a.Spans) - first) &^ 1
		arraySpans(a.Spans[first : first+pairs])
		first += pairs
		i = end
		if done < blocks {
			a.paths.stopped++
			break
		}
	}
	if st.inString != 0 { // the caller reads the open string again from its quote
		a.paths.reopened++
		i = int(a.Spans[first])
		a.Spans = a.Spans[:first]
	}
	return i, st.closed != 0, true
}

// grow extends the capacity of Spans for n more elements, and for as many as the left bytes hold
// if they hold as many as the seen ones in proportion.
func (a *Array) grow(n, seen, left int) {
	if cap(a.Spans)-len(a.Spans) >= n {
		return
	}
	if len(a.Spans) > 4*arrayBlocks {
		n += int(float64(len(a.Spans)) / float64(seen) * float64(left))
	}
	a.Spans = slices.Grow(a.Spans, n)
}

// escapes checks the escapes of a note and adds their items to a.Escaped. have is the length of
// Spans before the call that wrote the note, past the end of the last escape checked before. It
// returns the end of the last escape.
func (a *Array) escapes(buf []byte, n *arrayNote, have, past int) (int, bool) {
	for m := n.escapes; m != 0; m &= m - 1 {
		bit := bits.TrailingZeros64(m)
		at := int(n.offset) + bit
		if at < past {
			continue
		}
		var reason string
		if past, reason = checkEscape(buf, at); reason != "" {
			return at, false
		}
		item := uint32(have+int(n.quotes)+bits.OnesCount64(n.quote&(1<<bit-1))) / 2
		if len(a.Escaped) == 0 || a.Escaped[len(a.Escaped)-1] != item {
			a.Escaped = append(a.Escaped, item)
		}
	}
	return past, true
}

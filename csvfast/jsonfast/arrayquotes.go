package jsonfast

import (
	"math/bits"
	"slices"

	"github.com/velonym/velonym/internal/simd"
)

// How the strings of an array are found 64 bytes at a time. Per block, as masks
// with a bit a byte:
//
//	bs       backslashes. Those that escape are every other one of a run, counted
//	         from its start; the run may start in the block before
//	q        quotes that are not escaped
//	in       running parity of q (a carry-less product with all ones), flipped if
//	         the block starts inside a string: opening quotes and contents
//	closing  q &^ in
//	opening  q & in
//	comma    commas outside of strings: &^ in
//	blank    what is neither string nor comma; must be white space
//
// Between two strings there must be one comma, and white space at will:
//
//	due  = closing<<1 | what is due from the block before
//	due  = (due + blank) &^ blank     the sum carries over runs of blanks
//	must equal comma; the same from comma<<1 must equal opening
//
// and no byte below 0x20 may stand inside a string. A block that breaks a rule
// is left to the portable code, which also knows items that are no strings,
// the end of the array, and the words for errors. The positions of q's bits go
// out in order, in pairs, and are turned into offset and length in place.
//
// Escapes are few. A block that has one leaves a note with its masks, by which
// the caller checks them one by one. Bytes from 0x80 up are only noticed; the
// caller validates UTF-8 over the region in which they were.

// arrayBlocks is how many blocks one call of arrayQuotes does: 4 KiB stay in
// the first-level cache for the steps after it.
const arrayBlocks = 64

// arrayRetry is how many items are read one by one after a call of arrayQuotes
// that achieved nothing.
const arrayRetry = 8

// arrayState is what one call of arrayQuotes hands to the next, and its
// results. The kernels know its layout.
type arrayState struct {
	inString uint64 // all ones: the next byte is inside a string
	escaped  uint64 // 1: the next byte is escaped
	closed   uint64 // 1: a string has ended and its comma is still to come
	high     uint64 // set: not zero if a byte from 0x80 up was seen
	quotes   uint64 // set: how many positions were written
	notes    uint64 // raised by the notes that were written
}

// arrayNote tells of a block with escapes. The kernels know its layout.
type arrayNote struct {
	offset  uint32 // of the block
	quotes  uint32 // positions written before the block
	escapes uint64 // backslashes that escape
	quote   uint64 // quotes that are not escaped
}

// arrayQuotes looks for unescaped quotes in blocks of 64 bytes from p and
// writes their positions, counted from base, to out. It stops before a block
// that breaks a rule and returns how many it did. There must be room for
// 64·blocks+64 positions (more are written than count) and for a note a
// block; the last note may be of the block that was not done.
func arrayQuotes(p []byte, base uint32, out []uint32, notes []arrayNote, st *arrayState) (done int) {
	blocks := len(p) / 64
	_ = out[64*blocks+63]
	_ = notes[blocks-1]
	return arrayQuotesTier(p, blocks, base, out, notes, st)
}

// arraySpans turns pairs of quote positions into offset and length of what
// stands between them.
func arraySpans(pairs []uint32) {
	for i := arraySpansTier(pairs); i+1 < len(pairs); i += 2 {
		pairs[i], pairs[i+1] = pairs[i]+1, pairs[i+1]-pairs[i]-1
	}
}

// items reads the items of the data array from i, just past its '[', and
// returns the position past its ']'.
func (a *Array) items(buf []byte, i int) (int, string) {
	i = skipSpace(buf, i)
	if i < len(buf) && buf[i] == ']' {
		return i + 1, ""
	}
	begin := i
	slow := 0 // items to read one by one before the next try
	if simd.Active() == simd.Generic {
		slow = -1
	}
	for {
		more := true
		if slow == 0 && len(buf)-i >= 2*64 {
			next, between, ok := a.run(buf, i)
			if !ok { // there is an error; find it in the order of the text
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

// run reads strings by the kernels from i, where an item is due, as far as they
// go. It returns the position up to which it got: between is true where a
// comma or the end of the array is due there, false where an item is. ok is
// false when a string is not valid.
func (a *Array) run(buf []byte, i int) (next int, between, ok bool) {
	var st arrayState
	first := len(a.Spans) // of the quotes that are not yet spans
	unchecked := -1       // start of a character that the window has cut
	past := 0             // end of an escape that reached over its block
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
	if st.inString != 0 { // again from its quote
		a.paths.reopened++
		i = int(a.Spans[first])
		a.Spans = a.Spans[:first]
	}
	return i, st.closed != 0, true
}

// grow makes room for n more values of Spans, or for as many as are still to
// come if the left bytes hold as many as the seen ones.
func (a *Array) grow(n, seen, left int) {
	if cap(a.Spans)-len(a.Spans) >= n {
		return
	}
	if len(a.Spans) > 4*arrayBlocks {
		n += int(float64(len(a.Spans)) / float64(seen) * float64(left))
	}
	a.Spans = slices.Grow(a.Spans, n)
}

// escapes checks the escapes of a note and adds their items to a.Escaped. have
// is the length of Spans at the call that wrote the note, past the end of the
// last escape that was checked.
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

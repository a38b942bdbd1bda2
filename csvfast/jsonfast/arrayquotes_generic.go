package jsonfast

import "math/bits"

// arrayQuotesGeneric is the portable twin of the arrayQuotes kernels.
func arrayQuotesGeneric(p []byte, blocks int, base uint32, out []uint32, notes []arrayNote, st *arrayState) (done int) {
	st.high, st.quotes = 0, 0
	for done < blocks {
		next := *st
		note := arrayNote{offset: base + uint32(64*done), quotes: uint32(st.quotes)}
		for i, c := range p[64*done : 64*done+64] {
			bit := uint64(1) << i
			if c >= 0x80 {
				next.high = 1
			}
			switch {
			case next.escaped != 0:
				next.escaped = 0
			case c == '\\':
				next.escaped = 1
				note.escapes |= bit
			case c == '"':
				note.quote |= bit
				if next.inString == 0 && next.closed != 0 {
					return done // a comma is missing
				}
				next.inString = ^next.inString
				next.closed = next.inString&1 ^ 1
				continue
			}
			if next.inString != 0 {
				if c < 0x20 {
					return done
				}
				continue
			}
			switch {
			case c == ',' && next.closed != 0:
				next.closed = 0
			case c != ' ' && c != '\t' && c != '\n' && c != '\r' || next.escaped != 0:
				return done
			}
		}
		for m := note.quote; m != 0; m &= m - 1 {
			out[next.quotes] = note.offset + uint32(bits.TrailingZeros64(m))
			next.quotes++
		}
		if note.escapes != 0 {
			notes[next.notes] = note
			next.notes++
		}
		*st = next
		done++
	}
	return done
}

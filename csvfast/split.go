package csvfast

import "bytes"

// Parity reports whether buf holds an odd number of quote characters. The parities of the
// pieces of a file combine by XOR: a piece starts inside quotes if those of all pieces before
// it are odd together. One pass over the pieces, in any order, therefore suffices to cut a file
// exactly.
func (d Dialect) Parity(buf []byte) bool {
	return parity(buf, d.normal().Quote)
}

// LastRowEnd returns the offset after the last row end of buf, an LF outside quotes, or -1.
// inQuotes states whether buf starts inside quotes.
func (d Dialect) LastRowEnd(buf []byte, inQuotes bool) int {
	quote := d.normal().Quote
	in := parity(buf, quote) != inQuotes // at end
	end := len(buf)
	for {
		i := bytes.LastIndexByte(buf[:end], '\n')
		if i < 0 {
			return -1
		}
		if parity(buf[i:end], quote) {
			in = !in
		}
		if !in {
			return i + 1
		}
		end = i
	}
}

// FirstRowEnd returns the offset after the first row end of buf, an LF outside quotes, or -1.
// inQuotes states whether buf starts inside quotes.
func (d Dialect) FirstRowEnd(buf []byte, inQuotes bool) int {
	quote := d.normal().Quote
	at := 0
	for {
		i := bytes.IndexByte(buf[at:], '\n')
		if i < 0 {
			return -1
		}
		if parity(buf[at:at+i], quote) {
			inQuotes = !inQuotes
		}
		at += i + 1
		if !inQuotes {
			return at
		}
	}
}

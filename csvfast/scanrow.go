package csvfast

import "bytes"

// span is a field found by scanRow, without its outer quotes.
type span struct {
	off, end int
	doubled  bool // holds doubled quotes
}

// cursor is a position between two rows.
type cursor struct {
	at   int // offset
	line int // number of the line that starts there, from 1
}

// scanRow parses the row at c byte by byte, after any empty lines, and appends its fields to
// dst. It is the simplest form of the specification, and locates an error that a kernel has
// detected. It returns the fields, the start of the row and the cursor after it; a start at
// the end of buf means that there was no row. With an error it returns the fields before it,
// and the cursor after its line. The end of buf is the end of the input. d is normal.
func (d Dialect) scanRow(dst []span, buf []byte, c cursor) (fields []span, start, next cursor, err *ParseError) {
	for {
		n := emptyLine(buf[c.at:])
		if n == 0 {
			break
		}
		c = cursor{c.at + n, c.line + 1}
	}
	start = c
	if c.at == len(buf) {
		return dst, start, c, nil
	}
	lineAt, p := c.at, c.at // start of the current line; position in it
	fail := func(at int, what error) ([]span, cursor, cursor, *ParseError) {
		err := &ParseError{StartLine: start.line, Line: c.line, Column: at - lineAt + 1, Offset: int64(at), Err: what}
		return dst, start, cursor{lineEnd(buf, p), c.line + 1}, err
	}
	for {
		if p == len(buf) || buf[p] != d.Quote {
			from := p
			for p < len(buf) && buf[p] != d.Comma && buf[p] != '\n' {
				if buf[p] == d.Quote {
					return fail(p, ErrBareQuote)
				}
				p++
			}
			end := p
			if p < len(buf) && buf[p] == d.Comma {
				dst = append(dst, span{from, end, false})
				p++
				continue
			}
			if end > from && buf[end-1] == '\r' {
				end--
			}
			dst = append(dst, span{from, end, false})
			return dst, start, cursor{min(p+1, len(buf)), c.line + 1}, nil
		}
		p++
		from, doubled := p, false
		for {
			i := bytes.IndexByte(buf[p:], d.Quote)
			if i < 0 {
				return dst, start, cursor{len(buf), c.line + bytes.Count(buf[p:], lf) + 1}, unclosed(buf, start.line, c.line+bytes.Count(buf[p:], lf))
			}
			if n := bytes.Count(buf[p:p+i], lf); n > 0 {
				c.line += n
				lineAt = p + bytes.LastIndexByte(buf[p:p+i], '\n') + 1
			}
			p += i + 1
			if p == len(buf) || buf[p] != d.Quote {
				break
			}
			doubled = true
			p++
		}
		f := span{from, p - 1, doubled}
		if p < len(buf) && buf[p] == d.Comma {
			dst = append(dst, f)
			p++
			continue
		}
		if n := rowEnd(buf[p:]); n >= 0 {
			return append(dst, f), start, cursor{p + n, c.line + 1}, nil
		}
		return fail(p-1, ErrQuote)
	}
}

var lf = []byte{'\n'}

// emptyLine returns the length of the empty line that b starts with, or 0.
func emptyLine(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	return max(rowEnd(b), 0)
}

// rowEnd returns the length of the row end at the start of b: LF, CRLF, a CR before the end of
// the input, or that end itself; -1 if b starts with none.
func rowEnd(b []byte) int {
	switch {
	case len(b) == 0:
		return 0
	case b[0] == '\n':
		return 1
	case b[0] == '\r' && len(b) == 1:
		return 1
	case b[0] == '\r' && b[1] == '\n':
		return 2
	}
	return -1
}

// lineEnd returns the offset after the line that holds buf[p:].
func lineEnd(buf []byte, p int) int {
	if i := bytes.IndexByte(buf[p:], '\n'); i >= 0 {
		return p + i + 1
	}
	return len(buf)
}

// unclosed returns the error for a quote that is open at the end of buf, whose last line is
// given. Like encoding/csv it reports the position after the last line that is not empty, and
// counts a row end as one byte.
func unclosed(buf []byte, start, line int) *ParseError {
	last := buf[bytes.LastIndexByte(buf, '\n')+1:]
	if n := len(last); n > 0 && last[n-1] == '\r' {
		last = last[:n-1]
	}
	width := len(last)
	if width == 0 {
		body := buf[:bytes.LastIndexByte(buf, '\n')]
		line--
		body = body[bytes.LastIndexByte(body, '\n')+1:]
		width = len(body) + 1
		if n := len(body); n > 0 && body[n-1] == '\r' {
			width--
		}
	}
	return &ParseError{StartLine: start, Line: line, Column: width + 1, Offset: int64(len(buf)), Err: ErrQuote, open: true}
}

package csvfast

import "bytes"

// NeedsQuotes reports whether v must be quoted in a row: it holds the separator, the quote
// character, CR or LF. White space at an end needs no quotes (RFC 4180, section 2.4), and
// neither does an empty value; the only field of a row must be quoted if it is empty, or the
// row would be an empty line.
func (d Dialect) NeedsQuotes(v []byte) bool {
	d = d.normal()
	return special(v, d.Comma, d.Quote) < len(v)
}

// AppendField appends v to dst as a field, which is quoted if quoted is set or if v needs
// quotes. It allocates only what append needs.
func (d Dialect) AppendField(dst, v []byte, quoted bool) []byte {
	if !quoted && !d.NeedsQuotes(v) {
		return append(dst, v...)
	}
	quote := d.normal().Quote
	dst = append(dst, quote)
	dst = d.AppendDoubled(dst, v)
	return append(dst, quote)
}

// AppendDoubled appends v to dst with every quote character doubled, without quotes around it.
func (d Dialect) AppendDoubled(dst, v []byte) []byte {
	quote := d.normal().Quote
	for {
		n := bytes.IndexByte(v, quote)
		if n < 0 {
			return append(dst, v...)
		}
		dst = append(dst, v[:n+1]...)
		dst = append(dst, quote)
		v = v[n+1:]
	}
}

// Unquote appends raw, the text between the quotes of a field, to dst with one quote for each
// doubled one. dst may be raw[:0]. It allocates only what append needs.
func (d Dialect) Unquote(dst, raw []byte) []byte {
	quote := d.normal().Quote
	for {
		n := bytes.IndexByte(raw, quote)
		if n < 0 || n+1 >= len(raw) {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:n+1]...)
		raw = raw[n+1:]
		if raw[0] == quote {
			raw = raw[1:]
		}
	}
}

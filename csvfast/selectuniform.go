package csvfast

import "slices"

// Windows whose rows all have as many fields as the row before them.

// selectUniform handles a window of n entries if all of its rows, of which the given number end
// in it, have as many fields as the last row of selectRows; otherwise it returns false without
// an effect. It examines only the entries at which rows must end: if all of them end a row, and
// they are as many as the index has counted, no other entry ends one.
func (s *Selector) selectUniform(buf []byte, w, n, rows int) bool {
	fields := s.lastFields
	switch {
	case fields == 0 || n == 0 || rows == 0:
		return false
	case fields == 1:
		return s.selectSingles(buf, w, n, rows)
	}
	ents := s.index.entries[1 : 1+n]
	head := fields - s.open.fields // entries of the open row
	if head < 1 || head+(rows-1)*fields > n || head+rows*fields <= n {
		return false
	}
	for i := head - 1; i < n; i += fields {
		if int32(ents[i]) >= 0 {
			return false
		}
	}
	if s.open.fields > 0 {
		s.paths.uniformOpen++
	}
	if head+(rows-1)*fields < n {
		s.paths.uniformTail++
	}
	if s.columns == nil {
		s.selectUniformAll(buf, w, n, head, rows)
		return true
	}
	s.extendRow(buf, w, ents[:head])
	s.endRow()
	body := ents[head-1 : head+(rows-1)*fields] // from the separator before the first whole row
	if len(body) > 1 {
		s.selectUniformColumns(buf, w, body, rows-1)
	}
	if tail := ents[head+(rows-1)*fields:]; len(tail) > 0 {
		s.extendRow(buf, w, tail)
	}
	return true
}

// selectUniformColumns appends the chosen columns of whole rows of lastFields fields. ents are
// the separator before the rows and their own.
func (s *Selector) selectUniformColumns(buf []byte, w int, ents []uint32, rows int) {
	s.paths.uniformColumns++
	fields := s.lastFields
	at, width := len(s.Spans), 2*len(s.columns)
	s.Spans = slices.Grow(s.Spans, rows*width)[:at+rows*width]
	out := s.Spans[at:]
	var seen uint32 // flags of all chosen fields
	for j, c := range s.columns {
		k := uint(2*j) + 1
		for i := uint(c) + 1; i < uint(len(ents)) && k < uint(len(out)); i += uint(fields) {
			p, v := ents[i-1], ents[i]
			seen |= v
			q := v >> 30 & 1
			from := p&entryPos + 1 + q
			out[k] = v&entryPos - from - q
			out[k-1] = uint32(w) + from
			k += uint(width)
		}
	}
	if int32(seen) < 0 { // the last column is chosen: it may have a CR behind it
		for i, r := width-2, fields; i < len(out); i, r = i+width, r+fields {
			s.trimCR(buf, w, out[i:i+2], ents[r])
		}
	}
	if seen&entryDoubled != 0 {
		j := at / 2
		for row := ents[1:]; len(row) >= fields; row = row[fields:] {
			for _, c := range s.columns {
				if row[c]&entryDoubled != 0 {
					s.Doubled = append(s.Doubled, uint32(j))
				}
				j++
			}
		}
	}
	s.Rows += rows
	end := w + int(ents[len(ents)-1]&entryPos) + 1
	s.open = openRow{at: end, fieldAt: end, spans: len(s.Spans), doubled: len(s.Doubled)}
}

// trimCR removes the CR of a CRLF from the span of a row's last field, which v ends.
func (s *Selector) trimCR(buf []byte, w int, span []uint32, v uint32) {
	end := w + int(v&entryPos)
	if (span[1] > 0 || v&entryQuoted != 0) && buf[end-1] == '\r' {
		span[1]--
	}
}

// selectUniformAll appends every field of a window of rows of lastFields fields. The head-th
// entry ends the first row.
func (s *Selector) selectUniformAll(buf []byte, w, n, head, rows int) {
	s.paths.uniformAll++
	fields := s.lastFields
	ents := s.index.entries[:1+n]
	at := len(s.Spans)
	s.Spans = slices.Grow(s.Spans, 2*n+entryPadding)
	out := s.Spans[at : at+2*n+entryPadding]
	entrySpans(ents, uint32(w), out)
	// The first field may have started before the window.
	v := ents[1]
	q := v >> 30 & 1
	out[0] = uint32(s.open.fieldAt) + q
	out[1] = uint32(w) + v&entryPos - out[0] - q
	s.Spans = s.Spans[:at+2*n]

	if s.index.state.doubles != 0 {
		for i, v := range ents[1:] {
			if v&entryDoubled != 0 {
				s.Doubled = append(s.Doubled, uint32(at/2+i))
			}
		}
	}
	for i := head - 1; i < n; i += fields {
		s.trimCR(buf, w, out[2*i:2*i+2], ents[1+i])
		if s.fields < 0 {
			s.RowEnds = append(s.RowEnds, uint32(at/2+i+1))
		}
	}
	s.Rows += rows
	o := &s.open
	if rest := n - head - (rows-1)*fields; rest > 0 {
		o.fields = rest
	} else {
		o.fields = 0
	}
	o.fieldAt = w + int(ents[n]&entryPos) + 1
	o.at = w + int(ents[n-o.fields]&entryPos) + 1
	o.spans = at + 2*(n-o.fields)
	o.doubled = len(s.Doubled)
	for o.doubled > 0 && int(s.Doubled[o.doubled-1]) >= o.spans/2 {
		o.doubled--
	}
}

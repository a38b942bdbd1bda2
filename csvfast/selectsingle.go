package csvfast

import (
	"bytes"
	"slices"
)

// Windows whose rows have one field.

// selectSingles is selectUniform for rows of one field, of which an empty line is not a row. It
// requires that no field of the open row has ended.
func (s *Selector) selectSingles(buf []byte, w, n, rows int) bool {
	if s.open.fields != 0 || rows != n {
		return false
	}
	s.paths.single++
	at := len(s.Spans)
	s.Spans = slices.Grow(s.Spans, 2*n)
	out := s.Spans[at : at+2*n]
	k := 0
	from := s.open.fieldAt
	for _, v := range s.index.entries[1 : 1+n] {
		end := w + int(v&entryPos)
		off, to := from, end
		from = end + 1
		if to > off && buf[to-1] == '\r' {
			to--
		}
		if v&entryQuoted != 0 {
			off++
			to--
			if v&entryDoubled != 0 {
				s.Doubled = append(s.Doubled, uint32((at+k)/2))
			}
		} else if to == off {
			continue
		}
		out[k], out[k+1] = uint32(off), uint32(to-off)
		k += 2
		if s.columns == nil && s.fields < 0 {
			s.RowEnds = append(s.RowEnds, uint32((at+k)/2))
		}
	}
	s.Spans = s.Spans[:at+k]
	s.Rows += k / 2
	s.open = openRow{at: from, fieldAt: from, spans: len(s.Spans), doubled: len(s.Doubled)}
	return true
}

// selectPlain is selectSingles for a window without quotes, CRs and empty lines.
func (s *Selector) selectPlain(buf []byte, w, n, rows int) bool {
	if s.lastFields != 1 || s.open.fields != 0 || n == 0 || rows != n || s.index.state.quotes != 0 || s.columns == nil && s.fields < 0 {
		return false
	}
	ents := s.index.entries[:1+n]
	from, end := s.open.fieldAt, w+int(ents[n]&entryPos)
	if bytes.IndexByte(buf[from:end], '\r') >= 0 {
		return false
	}
	at := len(s.Spans)
	s.Spans = slices.Grow(s.Spans, 2*n+entryPadding)
	out := s.Spans[at : at+2*n+entryPadding]
	entrySpans(ents, uint32(w), out)
	// The first field may have started before the window.
	out[0], out[1] = uint32(from), uint32(w)+ents[1]&entryPos-uint32(from)
	least := out[1]
	for i := 3; i < 2*n; i += 2 {
		least = min(least, out[i])
	}
	if least == 0 {
		return false
	}
	s.paths.plain++
	s.Spans = s.Spans[:at+2*n]
	s.Rows += n
	s.open = openRow{at: end + 1, fieldAt: end + 1, spans: len(s.Spans)}
	return true
}

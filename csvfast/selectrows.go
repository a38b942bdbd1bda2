package csvfast

// Windows whose rows have different numbers of fields, and buffers with an error, are handled
// row by row.

// selectRows appends the chosen fields of the n entries of the window at w, in which so many
// rows end, row by row. It returns false at a row of a wrong length, which is then the open row.
func (s *Selector) selectRows(buf []byte, w, n, rows int) bool {
	s.paths.byRow++
	if s.lastFields == 1 && rows == n && n > 0 && s.open.fields > 0 {
		s.paths.openSingle++
	}
	ents := s.index.entries[1 : 1+n]
	for len(ents) > 0 {
		k := 0
		for k < len(ents) && int32(ents[k]) >= 0 {
			k++
		}
		if k == len(ents) {
			s.paths.byRowOpen++
			s.extendRow(buf, w, ents)
			return true
		}
		fields := s.open.fields + k + 1
		if fields == 1 && emptyField(buf[s.open.fieldAt:w+int(ents[0]&entryPos)]) {
			s.skipLine(w, ents[0])
			ents = ents[1:]
			continue
		}
		if s.fields == 0 {
			s.fields = fields
		}
		if s.lengthError(fields) != nil {
			return false
		}
		s.lastFields = fields
		s.extendRow(buf, w, ents[:k+1])
		s.endRow()
		ents = ents[k+1:]
	}
	return true
}

// emptyField reports whether a line that consists of the field f is empty.
func emptyField(f []byte) bool {
	return len(f) == 0 || len(f) == 1 && f[0] == '\r'
}

// skipLine skips the empty line that the entry v ends.
func (s *Selector) skipLine(w int, v uint32) {
	s.open.at = w + int(v&entryPos) + 1
	s.open.fieldAt = s.open.at
}

// extendRow appends the chosen fields among ents, at least one entry of the open row.
func (s *Selector) extendRow(buf []byte, w int, ents []uint32) {
	o := &s.open
	if s.columns == nil {
		from := o.fieldAt
		for _, v := range ents {
			s.appendField(buf, from, w, v)
			from = w + int(v&entryPos) + 1
		}
	} else {
		for ; o.nextColumn < len(s.columns); o.nextColumn++ {
			k := s.columns[o.nextColumn] - o.fields
			if k >= len(ents) {
				break
			}
			from := o.fieldAt
			if k > 0 {
				from = w + int(ents[k-1]&entryPos) + 1
			}
			s.appendField(buf, from, w, ents[k])
		}
	}
	o.fields += len(ents)
	o.fieldAt = w + int(ents[len(ents)-1]&entryPos) + 1
}

// endRow closes the open row.
func (s *Selector) endRow() {
	s.Rows++
	if s.columns == nil && s.fields < 0 {
		s.RowEnds = append(s.RowEnds, uint32(len(s.Spans)/2))
	}
	s.open = openRow{at: s.open.fieldAt, fieldAt: s.open.fieldAt, spans: len(s.Spans), doubled: len(s.Doubled)}
}

// appendField appends the field that starts at from and that the entry v of the window at w ends.
func (s *Selector) appendField(buf []byte, from, w int, v uint32) {
	end := w + int(v&entryPos)
	if int32(v) < 0 && end > from && buf[end-1] == '\r' {
		end--
	}
	if v&entryQuoted != 0 {
		from++
		end--
		if v&entryDoubled != 0 {
			s.Doubled = append(s.Doubled, uint32(len(s.Spans)/2))
		}
	}
	s.Spans = append(s.Spans, uint32(from), uint32(end-from))
}

// scanRows scans the rows from c on byte by byte.
func (s *Selector) scanRows(buf []byte, c cursor) error {
	for {
		row, start, next, err := s.d.scanRow(s.row[:0], buf, c)
		s.row = row[:0]
		s.Lines = next.line - 1
		if err != nil {
			return err
		}
		if start.at == len(buf) {
			return nil
		}
		if s.fields == 0 {
			s.fields = len(row)
		}
		if what := s.lengthError(len(row)); what != nil {
			return &ParseError{StartLine: start.line, Line: start.line, Column: 1, Offset: int64(start.at), Err: what}
		}
		if s.columns == nil {
			for _, f := range row {
				s.appendSpan(f)
			}
			if s.fields < 0 {
				s.RowEnds = append(s.RowEnds, uint32(len(s.Spans)/2))
			}
		} else {
			for _, c := range s.columns {
				s.appendSpan(row[c])
			}
		}
		s.Rows++
		c = next
	}
}

// lengthError returns the error of a row of n fields, nil if that is a right number.
func (s *Selector) lengthError(n int) error {
	if s.fields > 0 && n != s.fields {
		return ErrFieldCount
	}
	if k := len(s.columns); k > 0 && n <= s.columns[k-1] {
		return ErrColumn
	}
	return nil
}

// appendSpan appends a field.
func (s *Selector) appendSpan(f span) {
	if f.doubled {
		s.Doubled = append(s.Doubled, uint32(len(s.Spans)/2))
	}
	s.Spans = append(s.Spans, uint32(f.off), uint32(f.end-f.off))
}

package arrow

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
)

// state is the outcome of replacing an entry of a dictionary.
type state byte

const (
	stateValue state = iota
	stateEmpty
	stateMissing // has no result; in a column that loses its dictionary: null
)

// dictionaryColumn returns the column whose values are replaced within the dictionary of the
// given id, or nil if there is none.
func (s *Stream) dictionaryColumn(id int64) *column {
	for _, c := range s.columns {
		if c.field.dictionary && c.field.id == id && !c.decoded {
			return c
		}
	}
	return nil
}

// dictionary writes a message of a dictionary. If it belongs to a replaced column, its entries
// are replaced here, for all rows that refer to them later; an entry without a result becomes
// empty. A dictionary that no column of the output uses is not written.
func (s *Stream) dictionary(ctx context.Context, m *message) error {
	id, delta := m.header.i64(0), m.header.u8(2) != 0
	s.batch++ // an error names the batch that follows
	defer func() { s.batch-- }()
	decoded := 0
	for _, f := range s.leaves {
		c := s.columns[f.index]
		if c == nil || !f.dictionary || f.id != id {
			continue
		}
		switch {
		case delta && !s.seen[id]:
			return s.damaged(f, errDelta)
		case !delta && s.seen[id] && s.file != nil:
			return s.damaged(f, errSecond)
		case !delta:
			c.states, c.entries, c.entryAt = c.states[:0], c.entries[:0], append(c.entryAt[:0], 0)
		}
		p, err := s.readDictionary(c, m)
		if err != nil {
			return err
		}
		if !c.decoded {
			s.forget()
			c.batch.Entry = int64(len(c.states)) + 1
			err = s.rewrite(ctx, c, &s.places, p)
			c.batch.Entry = 0
			if err == nil {
				err = s.putBatch(m, &s.places)
			}
			s.seen[id] = true
			return err
		}
		if err := s.loadEntries(c, p); err != nil {
			return err
		}
		decoded++
	}
	s.seen[id] = true
	if decoded > 0 && decoded == s.schema.users[id] {
		return nil
	}
	return s.putMessage(m.raw, s.body)
}

// readDictionary reads the metadata of a dictionary's message into s.places.
func (s *Stream) readDictionary(c *column, m *message) (p part, err error) {
	b := &s.places
	if err := s.readParts(b, m.header.table(1), int64(len(s.body))); err != nil {
		return p, err
	}
	buffers, views := 2, 0
	switch {
	case c.field.view():
		if views = 1; len(b.variadic) != 1 {
			return p, s.damaged(c.field, errDictionary)
		}
		buffers += int(b.variadic[0])
	case c.field.layout == nil:
		buffers++
	}
	if len(b.nodes) != 1 || len(b.buffers) != buffers || len(b.variadic) != views || b.nodes[0].length != b.rows {
		return p, s.damaged(c.field, errDictionary)
	}
	if n := b.nodes[0].length; n > s.memory {
		return p, s.damaged(c.field, &MemoryError{"a dictionary", n, s.memory})
	}
	c.inDictionary, c.levels, c.seen, c.valid, c.nulls = true, c.levels[:0], nil, nil, b.nodes[0].nulls
	if b.nodes[0].nulls > 0 {
		raw, err := s.buffer(b, 0, &c.arena)
		if err != nil {
			return p, err
		}
		if int64(len(raw)) < (b.rows+7)/8 {
			return p, s.damaged(c.field, errDictionary)
		}
		c.valid = bits(append([]byte(nil), raw...)) // a copy, since c.arena is needed for values
	}
	return part{}, nil
}

// note records the states of the entries that were replaced.
func (c *column) note(r Results) {
	missing := r.Missing
	for i := 0; i < len(r.Spans); i += 2 {
		switch {
		case len(missing) > 0 && missing[0] == i/2:
			missing = missing[1:]
			c.states = append(c.states, stateMissing)
		case r.Values[i+1] == 0 || r.Spans[i+1] == 0:
			c.states = append(c.states, stateEmpty)
		default:
			c.states = append(c.states, stateValue)
		}
	}
	c.batch.Entry = int64(len(c.states)) + 1
}

// loadEntries keeps the entries of a dictionary as text, for a column that loses it.
func (s *Stream) loadEntries(c *column, p part) error {
	if err := s.load(c, &s.places, p); err != nil {
		return err
	}
	n := s.places.nodes[0].length
	for from := int64(0); from < n; {
		to, err := s.gather(c, from, n)
		if err != nil {
			return err
		}
		if need := int64(len(c.entries)) + int64(len(c.batch.Arena)); need > min(s.memory, math.MaxUint32) {
			return s.damaged(c.field, &MemoryError{"its dictionary", need, min(s.memory, math.MaxUint32)})
		} else if s.reserve != nil && need > int64(cap(c.entries)) {
			if err := s.reserve(need + need/4 - int64(cap(c.entries))); err != nil {
				return err
			}
		}
		for i := 0; i < len(c.spans); i += 2 {
			c.entries = append(c.entries, c.batch.Arena[c.spans[i]:][:c.spans[i+1]]...)
			c.entryAt = append(c.entryAt, uint32(len(c.entries)))
			is := stateValue
			if !c.valid.has(from + int64(i/2)) {
				is = stateMissing
			}
			c.states = append(c.states, is)
		}
		from = to
	}
	return nil
}

// entry returns the entry that value i of a column with a dictionary refers to.
func (s *Stream) entry(c *column, indexes []byte, i int64) (uint64, error) {
	f := c.field
	var entry uint64
	switch f.indexWidth {
	case 1:
		entry = uint64(indexes[i])
	case 2:
		entry = uint64(binary.LittleEndian.Uint16(indexes[2*i:]))
	case 4:
		entry = uint64(binary.LittleEndian.Uint32(indexes[4*i:]))
	default:
		entry = binary.LittleEndian.Uint64(indexes[8*i:])
	}
	// A negative index is out of range, even if the dictionary has more entries than a signed
	// index can count.
	if entry >= uint64(len(c.states)) || f.signed && entry>>(8*f.indexWidth-1) != 0 {
		return 0, s.damagedAt(c, i, errIndex)
	}
	return entry, nil
}

// indexes returns the indexes of a column with a dictionary in a batch.
func (s *Stream) indexes(c *column, b *batch, p part) ([]byte, error) {
	raw, err := s.buffer(b, p.buffer+1, &c.unpacked[0])
	if err != nil {
		return nil, err
	}
	if int64(len(raw))/int64(c.field.indexWidth) < b.nodes[p.node].length {
		return nil, s.damaged(c.field, errBatch)
	}
	return raw, nil
}

// gatherEntries copies the texts of the entries that the next values refer to.
func (s *Stream) gatherEntries(c *column, from, n int64) (to int64, err error) {
	c.spans, c.arena = c.spans[:0], c.arena[:0]
	for to = from; to < min(n, from+mostValues); to++ {
		var text []byte
		if c.valid.has(to) && c.seen.has(to) {
			entry, err := s.entry(c, c.from, to)
			if err != nil {
				return 0, err
			}
			if c.states[entry] == stateMissing {
				c.miss(to, n)
			}
			text = c.entries[c.entryAt[entry]:c.entryAt[entry+1]]
		}
		if to > from && len(c.arena)+len(text) > mostBytes {
			break
		}
		if err := s.growArena(c, len(text)); err != nil {
			return 0, err
		}
		c.spans = append(c.spans, uint32(len(c.arena)), uint32(len(text)))
		c.arena = append(c.arena, text...)
	}
	c.setArena()
	return to, nil
}

// growArena makes room for n more bytes of texts that many values may share, so that they
// can be longer than the input.
func (s *Stream) growArena(c *column, n int) error {
	if len(c.arena)+n+padding <= cap(c.arena) {
		return nil
	}
	more := max(cap(c.arena), n+padding)
	if s.reserve != nil {
		if err := s.reserve(int64(more)); err != nil {
			return err
		}
	}
	c.arena = slices.Grow(c.arena, more)
	return nil
}

// allValues reports whether all n values of a batch are seen, are not null and refer to
// entries with a result, if that is cheap to find out.
func (s *Stream) allValues(c *column, indexes []byte, n int64) bool {
	f := c.field
	if n == 0 || c.valid != nil || c.seen != nil || int64(len(c.states)) > 4*n {
		return false
	}
	for _, is := range c.states {
		if is != stateValue {
			return false
		}
	}
	most := highest(indexes[:n*int64(f.indexWidth)], f.indexWidth)
	return most < uint64(len(c.states)) && !(f.signed && most>>(8*f.indexWidth-1) != 0)
}

// uses counts the entries that the values of a batch refer to, by state. Indexes stay as they
// are; a value whose entry has no result becomes null if the column may hold nulls.
func (s *Stream) uses(ctx context.Context, c *column, b *batch, p part) error {
	n := b.nodes[p.node].length
	indexes, err := s.indexes(c, b, p)
	if err != nil {
		return err
	}
	c.validity = c.validity[:0]
	if s.allValues(c, indexes, n) {
		return c.replacer.Use(ctx, n, 0, 0)
	}
	var count [3]int64
	told, tell := c.replacer.(RowReplacer)
	for i := range n {
		if !c.valid.has(i) || !c.seen.has(i) {
			count[stateEmpty]++
			continue
		}
		entry, err := s.entry(c, indexes, i)
		if err != nil {
			return err
		}
		is := c.states[entry]
		if is == stateMissing {
			c.miss(i, n)
			if tell {
				told.MissingAt(s.rows+c.row(i)+1, int64(entry)+1)
			}
		}
		count[is]++
	}
	s.replaceValidity(c, b, p)
	return c.replacer.Use(ctx, count[stateValue], count[stateEmpty], count[stateMissing])
}

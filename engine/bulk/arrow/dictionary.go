package arrow

import (
	"context"
	"encoding/binary"
)

// state is what became of an entry of a dictionary.
type state byte

const (
	stateValue state = iota
	stateEmpty
	stateMissing
)

// dictionary writes a message of a dictionary. The values of one that belongs to a
// replaced column are replaced at once, for all rows that will refer to them; an entry
// without a result becomes empty.
func (s *Stream) dictionary(ctx context.Context, m *message) error {
	var c *column
	for _, k := range s.columns {
		if k.field.dictionary && k.field.id == m.header.i64(0) {
			c = k
		}
	}
	if c == nil {
		return s.putMessage(m.raw, s.body)
	}
	s.batch++ // an error names the batch that follows
	defer func() { s.batch-- }()
	delta := m.header.u8(2) != 0
	switch {
	case delta && c.states == nil:
		return s.damaged(c.field, errDelta)
	case !delta && c.states != nil && s.file != nil:
		return s.damaged(c.field, errSecond)
	case !delta:
		c.states = []state{}
	}
	b := &s.places
	if err := s.readParts(b, m.header.table(1), int64(len(s.body))); err != nil {
		return err
	}
	if len(b.nodes) != 1 || len(b.buffers) != 3 || len(b.variadic) != 0 || b.nodes[0].length != b.rows {
		return s.damaged(c.field, errDictionary)
	}
	n := b.nodes[0].length
	if n > s.memory {
		return s.damaged(c.field, &MemoryError{"a dictionary", n, s.memory})
	}
	c.valid = nil
	if b.nodes[0].nulls > 0 {
		raw, err := s.buffer(b, 0, &c.arena)
		if err != nil {
			return err
		}
		if int64(len(raw)) < (n+7)/8 {
			return s.damaged(c.field, errDictionary)
		}
		c.valid = bits(raw)
	}
	s.forget()
	c.levels = c.levels[:0]
	c.batch.Entry = int64(len(c.states)) + 1
	err := s.rewrite(ctx, c, b, 0, n, nil)
	c.batch.Entry = 0
	if err != nil {
		return err
	}
	return s.putBatch(m, b)
}

// note remembers what became of the entries that were replaced.
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

// uses counts which entries the values of a batch refer to; they stay as they are.
func (s *Stream) uses(ctx context.Context, c *column, b *batch) error {
	f := c.field
	at, n, seen, err := s.begin(c, b)
	if err != nil {
		return err
	}
	indexes, err := s.buffer(b, at+1, &c.unpacked[0])
	if err != nil {
		return err
	}
	if int64(len(indexes))/int64(f.indexWidth) < n {
		return s.damaged(f, errBatch)
	}
	var count [3]int64
	told, tell := c.replacer.(RowReplacer)
	for i := range n {
		if !c.valid.has(i) || !seen.has(i) {
			count[stateEmpty]++
			continue
		}
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
		// A negative index is beyond any dictionary of its width.
		if entry >= uint64(len(c.states)) || f.signed && entry>>(8*f.indexWidth-1) != 0 {
			return &Error{File: s.name, Batch: s.batch, Row: s.rows + c.row(i) + 1, Column: f.path(), Err: errIndex}
		}
		state := c.states[entry]
		if count[state]++; state == stateMissing && tell {
			told.MissingAt(s.rows+c.row(i)+1, int64(entry)+1)
		}
	}
	return c.replacer.Use(ctx, count[stateValue], count[stateEmpty], count[stateMissing])
}

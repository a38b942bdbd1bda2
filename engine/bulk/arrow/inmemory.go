package arrow

import (
	"bytes"
	"context"
	"io"
)

// inMemory is a stream that is completely in memory. Bodies of its messages are not copied.
type inMemory struct {
	b     []byte
	r     bytes.Reader
	begin int64 // offset of the first message after the schema
}

// OpenBytes reads the schema of a stream that is completely in memory. The bytes must not
// change while the Stream is used, and kernels may read up to their capacity. Batches passed
// to a [Replacer] alias them.
func OpenBytes(b []byte, o Options) (*Stream, error) {
	s := open(o)
	s.whole = &inMemory{b: b}
	s.whole.r.Reset(b)
	s.in = &s.whole.r
	err := s.openSchema()
	s.whole.begin = s.whole.offset()
	return s, err
}

// offset returns the number of bytes read so far.
func (m *inMemory) offset() int64 { return m.r.Size() - int64(m.r.Len()) }

// bodyInPlace makes the next n bytes the body.
func (s *Stream) bodyInPlace(n int64) error {
	m := s.whole
	if n > int64(m.r.Len()) {
		return s.cut(errCut)
	}
	at := m.offset()
	s.body = m.b[at : at+n]
	_, err := m.r.Seek(n, io.SeekCurrent)
	return err
}

// Scan checks a stream of [OpenBytes] completely and writes nothing. It calls replacers with
// the same values as Write, and uses their results only to find which entries of dictionaries
// have one. Write, with the same replacers, may follow.
func (s *Stream) Scan(ctx context.Context) error {
	s.scanning = true
	err := s.messages(ctx)
	if err == nil {
		err = s.ended()
	}
	s.scanning = false
	s.batch, s.rows = 0, 0
	clear(s.seen)
	for _, c := range s.columns {
		c.states = nil
	}
	if err == nil {
		_, err = s.whole.r.Seek(s.whole.begin, io.SeekStart)
	}
	return err
}

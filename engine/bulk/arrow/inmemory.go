package arrow

import (
	"bytes"
	"context"
	"io"
)

// inMemory is a stream that is in memory as a whole. Bodies of its messages are read where
// they stand.
type inMemory struct {
	b     []byte
	r     bytes.Reader
	begin int64 // of what follows the schema
}

// OpenBytes reads the schema of a stream that is in memory as a whole. The bytes must not
// change while the Stream is used, and kernels may read up to their capacity. Batches that
// a [Replacer] is given alias them.
func OpenBytes(b []byte, o Options) (*Stream, error) {
	s := open(o)
	s.whole = &inMemory{b: b}
	s.whole.r.Reset(b)
	s.in = &s.whole.r
	err := s.openSchema()
	s.whole.begin = s.whole.offset()
	return s, err
}

// offset returns how many bytes are read.
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

// Scan checks the whole of a stream of [OpenBytes] and writes nothing. Replacers are given
// the values as Write gives them, and their results are used for nothing but to tell what
// becomes of the entries of dictionaries. Write, with the same replacers, may follow.
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

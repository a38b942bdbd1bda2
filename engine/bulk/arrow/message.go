package arrow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Headers of messages, by their number in the union MessageHeader of Message.fbs.
const (
	headerSchema     = 1
	headerDictionary = 2
	headerBatch      = 3
)

const (
	continuation = 0xffffffff
	maxMetadata  = 256 << 20
)

// message is the metadata of a message.
type message struct {
	raw     []byte // without the prefix
	kind    byte
	version int16
	body    int64 // length of the body
	header  table
	top     table
}

var (
	errCut   = errors.New("is cut short, and nothing tells how much is missing")
	errNoEnd = errors.New("is cut short, or its writer left out the mark that ends a stream; have it closed when it is written")
)

// readMessage reads the metadata of the next message. It returns nil at the mark that
// ends a stream. A message has a prefix: continuation, which old writers omit, and the length
// of the metadata.
func (s *Stream) readMessage(r io.Reader) (*message, error) {
	var head [4]byte
	switch _, err := io.ReadFull(r, head[:]); {
	case err == io.EOF && s.schema != nil && s.file == nil:
		return nil, s.cut(errNoEnd)
	case err != nil:
		return nil, s.unread(err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n == continuation {
		if err := s.read(r, head[:]); err != nil {
			return nil, err
		}
		n = binary.LittleEndian.Uint32(head[:])
	}
	switch {
	case n == 0:
		return nil, nil
	case n > maxMetadata || int64(n) > s.memory:
		return nil, s.bad("is no Arrow stream, or is damaged: a message of %d MiB of metadata", n>>20)
	}
	var err error
	if s.meta, err = readGrowing(s.meta[:0], r, int64(n)); err != nil {
		return nil, s.unread(err)
	}
	return s.parseMessage(s.meta)
}

func (s *Stream) parseMessage(raw []byte) (*message, error) {
	f := &flat{b: raw}
	m := &message{raw: raw, top: f.root()}
	m.version, m.kind, m.header, m.body = m.top.i16(0), m.top.u8(1), m.top.table(2), m.top.i64(3)
	if f.damaged || m.header.f == nil || m.body < 0 {
		return nil, s.bad("is no Arrow, or is damaged: a message cannot be read")
	}
	return m, nil
}

// read fills b.
func (s *Stream) read(r io.Reader, b []byte) error {
	if _, err := io.ReadFull(r, b); err != nil {
		return s.unread(err)
	}
	return nil
}

// unread returns the error for a read that returned err and too few bytes.
func (s *Stream) unread(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return s.cut(errCut)
	}
	return err
}

// cut returns the error for an input that ends too early, with the last complete row.
func (s *Stream) cut(why error) error {
	if s.batch > 0 && s.rows > 0 {
		return &Error{File: s.name, Err: fmt.Errorf("%w; batch %d with row %d is the last that is whole", why, s.batch, s.rows)}
	}
	return s.bad("%w", why)
}

// span is the position of a buffer in a body.
type span struct{ off, n int64 }

// node holds the numbers of values and nulls of a field in a batch.
type node struct{ length, nulls int64 }

// batch is the metadata of a record batch.
type batch struct {
	rows     int64
	nodes    []node
	buffers  []span
	variadic []int64
	codec    codec
	start    []int // index of each field's first buffer
}

var errBatch = errors.New("a record batch is damaged")

// readBatch reads a table RecordBatch with a body of the given length, and finds the buffers
// of its columns.
func (s *Stream) readBatch(b *batch, t table, body int64) error {
	if err := s.readParts(b, t, body); err != nil {
		return err
	}
	return s.place(b)
}

// readParts reads a table RecordBatch with a body of the given length.
func (s *Stream) readParts(b *batch, t table, body int64) error {
	if t.f == nil {
		return s.bad("%w", errBatch)
	}
	b.rows, b.codec = t.i64(0), codecNone
	if t.field(3) > 0 {
		c := t.table(3)
		b.codec = codec(c.u8(0))
		if b.codec != codecLZ4 && b.codec != codecZstd || c.u8(1) != 0 {
			return s.bad("is packed in a way that is not known; write it anew with LZ4 or ZSTD")
		}
	}
	b.nodes, b.buffers, b.variadic = b.nodes[:0], b.buffers[:0], b.variadic[:0]
	at, n := t.vector(1, 16)
	for i := range n {
		v := node{t.f.i64(at + 16*i), t.f.i64(at + 16*i + 8)}
		if v.length < 0 || v.nulls < 0 || v.nulls > v.length {
			return s.bad("%w", errBatch)
		}
		b.nodes = append(b.nodes, v)
	}
	at, n = t.vector(2, 16)
	for i := range n {
		v := span{t.f.i64(at + 16*i), t.f.i64(at + 16*i + 8)}
		if v.off < 0 || v.n < 0 || v.off > body || v.n > body-v.off {
			return s.bad("%w: a buffer lies outside", errBatch)
		}
		b.buffers = append(b.buffers, v)
	}
	at, n = t.vector(4, 8)
	for i := range n {
		v := t.f.i64(at + 8*i)
		if v < 0 || v > int64(len(b.buffers)) {
			return s.bad("%w", errBatch)
		}
		b.variadic = append(b.variadic, v)
	}
	if t.f.damaged || b.rows < 0 {
		return s.bad("%w", errBatch)
	}
	return nil
}

// place finds the first buffer of every field; the schema gives the number of each field's
// buffers.
func (s *Stream) place(b *batch) error {
	if len(b.nodes) != len(s.schema.fields) {
		return s.bad("%w: it has %d columns, with those within others, and the schema %d", errBatch, len(b.nodes), len(s.schema.fields))
	}
	b.start = b.start[:0]
	at, variadic := 0, 0
	for _, f := range s.schema.fields {
		b.start = append(b.start, at)
		n, more := s.schema.buffers(f)
		at += n
		if more {
			if variadic == len(b.variadic) {
				return s.bad("%w", errBatch)
			}
			at += int(b.variadic[variadic])
			variadic++
		}
	}
	if at != len(b.buffers) || variadic != len(b.variadic) {
		return s.bad("%w: it has other buffers than the schema says", errBatch)
	}
	for _, f := range s.schema.top {
		if b.nodes[f.index].length != b.rows {
			return &Error{File: s.name, Batch: s.batch, Column: f.path(), Err: fmt.Errorf("has %d values in a batch of %d rows", b.nodes[f.index].length, b.rows)}
		}
	}
	return nil
}

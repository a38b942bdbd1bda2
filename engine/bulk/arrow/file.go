package arrow

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

const magic = "ARROW1"

// file is an open Arrow file, which is read from its end.
type file struct {
	at      io.ReaderAt
	size    int64
	footer  []byte
	dicts   []block
	batches []block
}

// block is the position of a message.
type block struct {
	off      int64
	metadata int64
	body     int64
}

var errFooter = errors.New("the file's footer is damaged")

// OpenFile reads the schema of a file of size bytes: application/vnd.apache.arrow.file.
func OpenFile(at io.ReaderAt, size int64, o Options) (*Stream, error) {
	s := open(o)
	f := &file{at: at, size: size}
	s.file = f
	var tail [4 + len(magic)]byte
	if size < 8+int64(len(tail)) {
		return nil, s.bad("%w", errCut)
	}
	if err := s.readAt(tail[:], size-int64(len(tail))); err != nil {
		return nil, err
	}
	if string(tail[4:]) != magic {
		return nil, s.bad("is cut short: an Arrow file ends with its footer")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	start := size - int64(len(tail)) - n
	switch {
	case start < 8 || n > maxMetadata:
		return nil, s.bad("%w", errFooter)
	case n > s.memory:
		return nil, s.bad("%w", &MemoryError{"the footer", n, s.memory})
	}
	f.footer = make([]byte, n)
	if err := s.readAt(f.footer, start); err != nil {
		return nil, err
	}
	b := &flat{b: f.footer}
	t := b.root()
	f.dicts, f.batches = readBlocks(t, 2), readBlocks(t, 3)
	if b.damaged || t.f == nil {
		return nil, s.bad("%w", errFooter)
	}
	for _, v := range slices.Concat(f.dicts, f.batches) {
		if v.off < 8 || v.metadata < 8 || v.body < 0 || v.off > start || v.metadata > start-v.off || v.body > start-v.off-v.metadata {
			return nil, s.bad("%w: a batch lies outside", errFooter)
		}
	}
	if err := s.setSchema(t.table(1), t.i16(0)); err != nil {
		return nil, err
	}
	return s, s.readFirst(start)
}

// readFirst reads the message of the schema before the first batch, which must equal the
// schema of the footer. Polars writes this schema without the prefix of a message; readers
// use the footer's, so the output gets a message with that one.
func (s *Stream) readFirst(end int64) error {
	r := io.NewSectionReader(s.file.at, 8, end-8)
	m, err := s.readMessage(r)
	var fault *Error
	if errors.As(err, &fault) || err == nil && (m == nil || m.kind != headerSchema || m.body != 0) {
		return nil
	}
	if err != nil {
		return err
	}
	again, err := readSchema(m.header, m.version)
	if err != nil {
		return s.bad("%w", err)
	}
	same := slices.EqualFunc(s.schema.fields, again.fields, func(a, b *field) bool {
		return a.path() == b.path() && a.kind == b.kind && a.typeName == b.typeName && a.dictionary == b.dictionary && a.id == b.id && a.nullable == b.nullable && len(a.children) == len(b.children)
	})
	if !same || s.schema.old != again.old {
		return s.bad("the schema at its begin is not that of its footer")
	}
	s.first = append([]byte(nil), m.raw...)
	return nil
}

func readBlocks(t table, slot int) []block {
	at, n := t.vector(slot, 24)
	all := make([]block, n)
	for i := range all {
		e := at + 24*i
		all[i] = block{t.f.i64(e), int64(int32(t.f.u32(e + 8))), t.f.i64(e + 16)}
	}
	return all
}

// readAt fills b from offset off.
func (s *Stream) readAt(b []byte, off int64) error {
	n, err := s.file.at.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	return s.unread(err)
}

// writeFile is Write of a file: dictionaries first, then the batches in the order of the
// footer.
func (s *Stream) writeFile(ctx context.Context) error {
	f := s.file
	if err := s.put([]byte(magic + "\x00\x00")); err != nil {
		return err
	}
	if err := s.putSchema(); err != nil {
		return err
	}
	var places [2][]block // of the output's dictionaries and batches
	for i, v := range slices.Concat(f.dicts, f.batches) {
		if err := ctx.Err(); err != nil {
			return err
		}
		r := io.NewSectionReader(f.at, v.off, v.metadata+v.body)
		m, err := s.readMessage(r)
		if err != nil {
			return err
		}
		want := byte(headerDictionary)
		if i >= len(f.dicts) {
			want = headerBatch
		}
		if m == nil || m.kind != want || m.body > v.body {
			return s.bad("%w: it does not say where batch %d stands", errFooter, max(i-len(f.dicts), 0)+1)
		}
		if err := s.readBody(io.NewSectionReader(f.at, v.off+v.metadata, v.body), m.body); err != nil {
			return err
		}
		at := s.written
		if err := s.message(ctx, m); err != nil {
			return err
		}
		if s.written > at { // a dictionary that the output does not use is not written
			kind := &places[want-headerDictionary]
			*kind = append(*kind, block{at, s.headLength, s.written - at - s.headLength})
		}
	}
	if err := s.putEnd(); err != nil {
		return err
	}
	footer := s.encodeFooter(places[0], places[1])
	if s.schema.table.f.damaged {
		return s.bad("%w", errFooter)
	}
	if err := s.put(footer); err != nil {
		return err
	}
	if err := s.put(binary.LittleEndian.AppendUint32(nil, uint32(len(footer)))); err != nil {
		return err
	}
	if err := s.put([]byte(magic)); err != nil {
		return err
	}
	return s.out.Flush()
}

package arrow

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Stream is an Arrow IPC stream or file whose columns are to be replaced. Only one goroutine
// may use it at a time.
type Stream struct {
	name    string
	memory  int64
	reserve func(n int64) error
	in      byteReader // nil for a file
	file    *file      // nil for a stream
	whole   *inMemory  // nil if the input is not in memory
	schema  *schema
	first   []byte // message of the schema; nil for a file with a schema in its footer only
	leaves  []*field
	columns map[int]*column // to replace, by index of the field
	retyped bool            // the output's schema differs from the input's
	seen    map[int64]bool  // dictionaries read so far, by id
	packers packers
	builder *flatbuffers.Builder

	scanning   bool          // nothing is written: see Scan
	out        *bufio.Writer // nil while scanning or appending
	appending  AppendOptions
	dst        []byte // what Append appends to
	written    int64
	headLength int64 // length of the last message's metadata with its prefix
	batch      int   // current record batch, from 1
	rows       int64 // rows of the batches before
	meta       []byte
	body       []byte
	places     batch
	results    map[int][]byte // buffers of the batch to replace, by number
	added      map[int][]byte // additional buffers, by the number of the one before
	dropped    map[int]bool   // buffers of the input that the output omits
	spans      []span         // positions of the output's buffers
	variadic   []int64        // counts of buffers of the output's views
	parts      [][]byte       // content of the output's buffers
	packed     [][]byte
}

// Options are the options of [OpenStream], [OpenFile] and [OpenBytes].
type Options struct {
	// Name is the name of the input, for errors.
	Name string
	// Memory limits, in bytes, the memory for a message, and that for each of its columns
	// when it is decompressed and when it is written; 0 means 1 GiB.
	Memory int64
	// Reserve is called before n bytes of memory are allocated that the length of the input
	// does not account for, as for decompression. Its error ends the call. If it is nil,
	// every request is granted.
	Reserve func(n int64) error
}

// Column is a column of an input.
type Column struct {
	// Name consists of the names on the path to the column, joined by dots; items of a list
	// have the list's name.
	Name string
	// Type describes its type in a word or two.
	Type string
	// Refused says why its values cannot be replaced; nil if they can.
	Refused error
	// Text means that the values are strings, not bytes.
	Text bool
}

// Results holds the results of replacing the values of a [Batch].
type Results struct {
	Arena   []byte
	Spans   []uint32 // offset and length of each result in Arena
	Values  []uint32 // the batch's Spans; a value with length 0 here stays as it is
	Missing []int    // values without a result, ascending: they become null, or empty if the column holds no nulls
}

// Replacer replaces the values of a column. An error ends Write, which returns it unchanged.
// The results of Replace have to stay valid until its next call.
type Replacer interface {
	Replace(ctx context.Context, b *Batch) (Results, error)
	// Once reports whether equal values get equal results, so that those of a dictionary
	// can be replaced once for all rows that refer to them.
	Once() bool
	// Use is called for each record batch of a column with a dictionary, with the numbers of
	// values that refer to entries with a result, that are null or refer to empty entries, and
	// that refer to entries without a result.
	Use(ctx context.Context, values, empty, missing int64) error
}

// RowReplacer is a [Replacer] whose MissingAt is called, before Use, for each row that refers to
// a dictionary's entry without a result. row and entry count from 1.
type RowReplacer interface {
	Replacer
	MissingAt(row, entry int64)
}

// byteReader is the input of a stream.
type byteReader interface {
	io.Reader
	io.ByteReader
}

func open(o Options) *Stream {
	s := &Stream{name: o.Name, memory: o.Memory, reserve: o.Reserve, columns: map[int]*column{}, seen: map[int64]bool{}, results: map[int][]byte{}, added: map[int][]byte{}, dropped: map[int]bool{}}
	if s.memory == 0 {
		s.memory = 1 << 30
	}
	return s
}

// OpenStream reads the schema of a stream: application/vnd.apache.arrow.stream.
func OpenStream(r io.Reader, o Options) (*Stream, error) {
	s := open(o)
	s.in = bufio.NewReaderSize(r, 64<<10)
	return s, s.openSchema()
}

// openSchema reads the message that a stream begins with.
func (s *Stream) openSchema() error {
	m, err := s.readMessage(s.in)
	if err != nil {
		return err
	}
	if m == nil || m.kind != headerSchema || m.body != 0 {
		return s.bad("is no Arrow stream: it does not begin with a schema")
	}
	s.first = append([]byte(nil), m.raw...)
	return s.setSchema(m.header, m.version)
}

func (s *Stream) setSchema(t table, version int16) (err error) {
	if s.schema, err = readSchema(t, version); err != nil {
		return s.bad("%w", err)
	}
	for _, f := range s.schema.fields {
		if len(f.children) == 0 {
			s.leaves = append(s.leaves, f)
		}
	}
	return nil
}

// Columns returns the columns that hold values, in the order of the schema.
func (s *Stream) Columns() []Column {
	all := make([]Column, len(s.leaves))
	for i, f := range s.leaves {
		all[i] = Column{f.path(), f.typeName, f.replaceable(), f.kind == kindUtf8 || f.kind == kindLargeUtf8 || f.kind == kindUtf8View}
		if f.dictionary {
			all[i].Type = "dictionary of " + all[i].Type
		}
	}
	return all
}

// Rows returns the number of rows written so far.
func (s *Stream) Rows() int64 { return s.rows }

// Written returns the number of bytes written so far.
func (s *Stream) Written() int64 { return s.written }

// Write writes the input to w, with the columns replaced. It writes each batch completely
// before it reads the next. After an error w may hold batches.
func (s *Stream) Write(ctx context.Context, w io.Writer) error {
	defer s.packers.close()
	s.out = bufio.NewWriterSize(w, 64<<10)
	if s.file != nil {
		return s.writeFile(ctx)
	}
	return s.writeStream(ctx)
}

// writeStream is Write for a stream.
func (s *Stream) writeStream(ctx context.Context) error {
	if err := s.putSchema(); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.messages(ctx); err != nil {
		return err
	}
	if err := s.putEnd(); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	return s.ended()
}

// flush flushes the output, if there is a writer.
func (s *Stream) flush() error {
	if s.out == nil {
		return nil
	}
	return s.out.Flush()
}

// messages replaces values in the messages of a stream after its schema, and writes them.
func (s *Stream) messages(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := s.readMessage(s.in)
		if err != nil {
			return err
		}
		if m == nil {
			return nil
		}
		if err := s.readBody(s.in, m.body); err != nil {
			return err
		}
		if err := s.message(ctx, m); err != nil {
			return err
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
}

// ended checks that nothing follows the stream.
func (s *Stream) ended() error {
	switch _, err := s.in.ReadByte(); {
	case err == io.EOF:
		return nil
	case err != nil:
		return err
	}
	return s.bad("something stands behind the end of the stream; do the streams one by one")
}

// readBody reads the body of a message.
func (s *Stream) readBody(r io.Reader, n int64) (err error) {
	if n > s.memory {
		return s.bad("%w", &MemoryError{"a message", n, s.memory})
	}
	if s.whole != nil {
		return s.bodyInPlace(n)
	}
	if s.body, err = readGrowing(s.body[:0], r, n); err != nil {
		return s.unread(err)
	}
	return nil
}

// message writes a message whose body has been read.
func (s *Stream) message(ctx context.Context, m *message) error {
	switch m.kind {
	case headerDictionary:
		return s.dictionary(ctx, m)
	case headerBatch:
		s.batch++
		if err := s.record(ctx, m); err != nil {
			return err
		}
		s.rows += s.places.rows
		return nil
	case headerSchema:
		s.batch++
		return s.bad("the schema changes within the stream; make streams of their own of its parts")
	}
	return s.bad("holds a message that is neither schema, dictionary nor record batch")
}

// record replaces values in a record batch and writes it.
func (s *Stream) record(ctx context.Context, m *message) error {
	b := &s.places
	if err := s.readBatch(b, m.header, int64(len(s.body))); err != nil {
		return err
	}
	for _, f := range s.schema.fields {
		if v := b.nodes[f.index]; f.dictionary && !s.seen[f.id] && v.length > v.nulls {
			return s.damaged(f, errNoDictionary)
		}
	}
	if s.appending.Grow != nil {
		if done, err := s.appendBatch(ctx, m, b); done || err != nil {
			return err
		}
	}
	s.forget()
	for _, f := range s.leaves {
		c := s.columns[f.index]
		if c == nil || s.scanning && s.countDirect(c, b) {
			continue
		}
		if err := s.replace(ctx, c, b); err != nil {
			return err
		}
	}
	return s.putBatch(m, b)
}

// alignment is the alignment of buffers in a body.
const alignment = 8

var zeros [64]byte

// forget drops the new buffers of the previous batch.
func (s *Stream) forget() {
	clear(s.results)
	clear(s.added)
	clear(s.dropped)
}

// putBatch writes a batch with its new buffers.
func (s *Stream) putBatch(m *message, b *batch) error {
	if s.scanning {
		return nil
	}
	s.spans, s.parts = s.spans[:0], s.parts[:0]
	end, packed := int64(0), 0
	add := func(part []byte, fresh bool) error {
		if fresh && b.codec != codecNone {
			if packed == len(s.packed) {
				s.packed = append(s.packed, nil)
			}
			var err error
			if s.packed[packed], err = s.packers.pack(s.packed[packed][:0], b.codec, part); err != nil {
				return err
			}
			part = s.packed[packed]
			packed++
		}
		s.spans, s.parts = append(s.spans, span{end, int64(len(part))}), append(s.parts, part)
		end += (int64(len(part)) + alignment - 1) &^ (alignment - 1)
		return nil
	}
	for i, v := range b.buffers {
		part, fresh := s.results[i]
		if !fresh {
			part = s.body[v.off:][:v.n]
		}
		if !s.dropped[i] {
			if err := add(part, fresh); err != nil {
				return err
			}
		}
		if part, ok := s.added[i]; ok {
			if err := add(part, true); err != nil {
				return err
			}
		}
	}
	err := s.putHead(s.encode(m, b, s.spans, s.variadics(m, b), end))
	for _, part := range s.parts {
		if err == nil {
			err = s.put(part)
		}
		if err == nil {
			err = s.put(zeros[:-len(part)&(alignment-1)])
		}
	}
	return err
}

// variadics returns the number of text buffers of each column of views in the output.
func (s *Stream) variadics(m *message, b *batch) []int64 {
	s.variadic = s.variadic[:0]
	if m.kind == headerDictionary {
		if c := s.dictionaryColumn(m.header.i64(0)); c.out.view() {
			s.variadic = append(s.variadic, c.texts)
		}
		return s.variadic
	}
	at := 0
	for _, f := range s.schema.fields {
		c, was := s.columns[f.index], f.view() && !f.dictionary
		switch {
		case c == nil && was:
			s.variadic = append(s.variadic, b.variadic[at])
		case c != nil && c.out.view() && (c.decoded || !f.dictionary):
			s.variadic = append(s.variadic, c.texts)
		}
		if was {
			at++
		}
	}
	return s.variadic
}

// putSchema writes the message of the schema.
func (s *Stream) putSchema() error {
	first := s.first
	if s.retyped || first == nil {
		var err error
		if first, err = s.encodeSchema(first); err != nil {
			return err
		}
	}
	return s.putMessage(first, nil)
}

// putMessage writes a message unchanged.
func (s *Stream) putMessage(raw, body []byte) error {
	if err := s.putHead(raw); err != nil {
		return err
	}
	return s.put(body)
}

// putHead writes the prefix of a message and its metadata.
func (s *Stream) putHead(raw []byte) error {
	pad := -len(raw) & 7
	s.headLength = int64(8 + len(raw) + pad)
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], continuation)
	binary.LittleEndian.PutUint32(head[4:], uint32(len(raw)+pad))
	if err := s.put(head[:]); err != nil {
		return err
	}
	if err := s.put(raw); err != nil {
		return err
	}
	return s.put(zeros[:pad])
}

// putEnd writes the mark that ends a stream.
func (s *Stream) putEnd() error {
	var end [8]byte
	binary.LittleEndian.PutUint32(end[:], continuation)
	return s.put(end[:])
}

func (s *Stream) put(b []byte) error {
	if s.scanning {
		return nil
	}
	if s.appending.Grow != nil {
		if err := s.room(len(b)); err != nil {
			return err
		}
		s.dst = append(s.dst, b...)
		return nil
	}
	n, err := s.out.Write(b)
	s.written += int64(n)
	return err
}

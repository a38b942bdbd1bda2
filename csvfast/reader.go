package csvfast

import (
	"bytes"
	"io"
)

const readerBuffer = 128 << 10 // first size; a row that is longer makes it grow

// Reader has the shape of encoding/csv's Reader, for those who only want a
// faster one. It accepts and refuses the same, with the same lines and columns,
// but leaves a CRLF inside quotes as it is. The fields are to be set before the
// first read. It is for one goroutine at a time.
type Reader struct {
	Comma           rune // field delimiter, below 0x80; ',' from NewReader
	Quote           rune // below 0x80; '"' from NewReader
	FieldsPerRecord int  // as in encoding/csv: 0, as many as the first row; negative, any number
	ReuseRecord     bool // Read may return the slice of the call before, overwritten

	src      io.Reader
	d        Dialect
	buf      []byte // what was read: rows that were returned, then the open row and what follows
	old      []byte // a buffer for the next time that buf is full
	base     int64  // offset in the stream of buf[0]
	rowStart int    // where the row read last starts in buf
	at       int    // where the next row starts
	from     int    // where its first field starts that the entries used have not ended
	err      error  // what src ended with

	lines   int // lines before buf[counted]
	counted int

	index   indexer
	entries []uint32 // of the window at win, those not yet used
	win     int
	indexed int  // how much of buf the index has seen
	ended   bool // the index has seen the end
	slow    bool // the index has found an error: walk from here on
	started bool

	row     []span
	fields  [][]byte
	scratch []byte
	record  []string
	paths   readerPaths
}

// NewReader returns a Reader of comma-separated rows. It reads ahead.
func NewReader(r io.Reader) *Reader {
	return &Reader{Comma: ',', Quote: '"', src: r}
}

// Read returns the next row. With an error that is ErrFieldCount it returns the
// row, with another *ParseError the fields before the error; reading may go on
// behind its line. At the end it returns io.EOF.
func (r *Reader) Read() ([]string, error) {
	if !r.ReuseRecord {
		return r.read(nil)
	}
	record, err := r.read(r.record)
	r.record = record
	return record, err
}

func (r *Reader) read(dst []string) ([]string, error) {
	fields, err := r.ReadBorrowed()
	if fields == nil {
		return nil, err
	}
	text := r.scratch // unquoted fields are in it already; they are copied over
	n := len(text)
	for _, f := range fields {
		text = append(text, f...)
	}
	r.scratch = text[:n]
	all := string(text[n:])
	if dst == nil || cap(dst) < len(fields) {
		dst = make([]string, 0, len(fields))
	}
	dst = dst[:0]
	for _, f := range fields {
		dst = append(dst, all[:len(f)])
		all = all[len(f):]
	}
	return dst, err
}

// ReadAll reads rows up to the end or the first error. An end is no error.
func (r *Reader) ReadAll() (records [][]string, err error) {
	for {
		record, err := r.read(nil)
		if err == io.EOF {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
}

// InputOffset returns the offset in the stream behind the row read last.
func (r *Reader) InputOffset() int64 { return r.base + int64(r.at) }

// ReadBorrowed is Read without a copy: the record and its fields are the
// Reader's own and hold until the next call. It allocates nothing once its
// buffers are as long as the longest row needs.
func (r *Reader) ReadBorrowed() ([][]byte, error) {
	if !r.started {
		if err := r.start(); err != nil {
			return nil, err
		}
	}
	r.scratch = r.scratch[:0]
	if r.slow {
		return r.readByRow()
	}
	fields := r.fields[:0]
	for {
		buf, from, win := r.buf, r.from, r.win
		for i, v := range r.entries {
			end := win + int(v&entryPos)
			f := buf[from:end:end]
			from = end + 1
			if v>>29 == 0 {
				fields = append(fields, f)
				continue
			}
			if int32(v) < 0 && len(f) > 0 && f[len(f)-1] == '\r' {
				f = f[: len(f)-1 : len(f)-1]
			}
			if v&entryQuoted != 0 {
				f = f[1 : len(f)-1 : len(f)-1]
				if v&entryDoubled != 0 {
					f = r.unquote(f)
				}
			}
			if int32(v) >= 0 {
				fields = append(fields, f)
				continue
			}
			if end == len(buf) && r.err != io.EOF {
				return nil, r.err // not a row end, but where the source failed
			}
			from = min(from, len(buf))
			r.rowStart, r.at = r.at, from
			if len(fields) == 0 && len(f) == 0 && v&entryQuoted == 0 {
				continue // an empty line
			}
			r.entries, r.from = r.entries[i+1:], from
			r.fields = append(fields, f)
			return r.fields, r.check(len(r.fields))
		}
		r.entries, r.from = nil, from
		if !r.more() {
			return nil, r.err
		}
		if r.slow {
			return r.readByRow()
		}
	}
}

// unquote puts the text of f, which holds doubled quotes, in scratch.
func (r *Reader) unquote(f []byte) []byte {
	n := len(r.scratch)
	r.scratch = r.d.Unquote(r.scratch, f)
	return r.scratch[n:len(r.scratch):len(r.scratch)]
}

// start looks at the fields that the caller has set.
func (r *Reader) start() error {
	if r.Comma <= 0 || r.Comma >= 0x80 || r.Quote <= 0 || r.Quote >= 0x80 {
		return errRune
	}
	r.d = Dialect{Comma: byte(r.Comma), Quote: byte(r.Quote)}
	if err := r.d.check(); err != nil {
		return err
	}
	r.index.reset(r.d)
	r.buf = make([]byte, 0, readerBuffer)
	r.started = true
	return nil
}

// more indexes the next window, reading as far as that needs. It returns false
// when there is nothing more. At an error in the window it sets slow: walk will
// find the rows before the error again, and then its place.
func (r *Reader) more() bool {
	x := &r.index
	for {
		final := r.err != nil
		if final && (r.ended || r.at == len(r.buf)) {
			return false
		}
		if final || len(r.buf)-r.indexed >= 64 {
			r.paths.windows++
			n, next := x.window(r.buf, r.indexed, final)
			r.entries, r.win, r.indexed = x.entries[1:1+n], r.indexed, next
			r.ended = final && next == len(r.buf)
			r.slow = x.state.bad != 0 || r.ended && !x.over()
			return true
		}
		r.fill()
	}
}

// fill reads once, after making room if buf is full. The fields of the open row
// that were found already stay where they are: rows move to another buffer.
func (r *Reader) fill() {
	if len(r.buf) == cap(r.buf) {
		old := r.buf
		if r.at == 0 {
			r.paths.grows++
			r.buf, r.old = append(make([]byte, 0, 2*len(old)), old...), nil
		} else {
			r.paths.moves++
			if cap(r.old) != len(old) {
				r.old = make([]byte, 0, len(old))
			}
			r.line(r.at)
			r.buf, r.old = append(r.old[:0], old[r.at:]...), old
			r.base += int64(r.at)
			r.from -= r.at
			r.indexed -= r.at
			r.counted, r.rowStart, r.at = 0, 0, 0
		}
	}
	for range 100 {
		n, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		r.err = err
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// line returns the number of the line at buf[at], which is at a row's start and
// not before any that was asked for.
func (r *Reader) line(at int) int {
	r.lines += bytes.Count(r.buf[r.counted:at], lf)
	r.counted = at
	return r.lines + 1
}

// check compares the length of the row at rowStart with what it must be.
func (r *Reader) check(n int) error {
	if r.FieldsPerRecord == 0 {
		r.FieldsPerRecord = n
	}
	if r.FieldsPerRecord > 0 && n != r.FieldsPerRecord {
		line := r.line(r.rowStart)
		return &ParseError{StartLine: line, Line: line, Column: 1, Offset: r.base + int64(r.rowStart), Err: ErrFieldCount}
	}
	return nil
}

// walk reads the next row byte by byte.
func (r *Reader) readByRow() ([][]byte, error) {
	for {
		rest := r.buf[r.at:]
		row, start, next, bad := r.d.scanRow(r.row[:0], rest, cursor{0, r.line(r.at)})
		r.row = row[:0]
		if next.at == len(rest) { // more input could change what this is
			if r.err == nil {
				r.fill()
				continue
			}
			if start.at == len(rest) || r.err != io.EOF && (next.at == 0 || rest[next.at-1] != '\n') {
				r.at = len(r.buf)
				return nil, r.err
			}
		}
		r.paths.byRow++
		if bad != nil {
			bad.Offset += r.base + int64(r.at)
		}
		r.rowStart, r.at = r.at+start.at, r.at+next.at
		fields := r.fields[:0]
		for _, f := range row {
			text := rest[f.off:f.end:f.end]
			if f.doubled {
				text = r.unquote(text)
			}
			fields = append(fields, text)
		}
		r.fields = fields
		err := r.check(len(fields))
		if bad != nil {
			return fields, bad
		}
		return fields, err
	}
}

package csvfast

import (
	"bytes"
	"io"
)

const readerBuffer = 128 << 10 // initial size; it grows for a longer row

// Reader has the interface of encoding/csv's Reader and is faster. It accepts and refuses the
// same input, with the same lines and columns, but keeps a CRLF inside quotes. The fields must
// be set before the first read. One goroutine at a time uses it.
type Reader struct {
	Comma           rune // field delimiter, below 0x80; ',' from NewReader
	Quote           rune // below 0x80; '"' from NewReader
	FieldsPerRecord int  // as in encoding/csv: 0, as many as the first row; negative, any number
	ReuseRecord     bool // Read may return the slice of the previous call, overwritten

	src      io.Reader
	d        Dialect
	buf      []byte // the bytes read: rows that were returned, then the open row and what follows
	old      []byte // spare buffer for the next time that buf is full
	base     int64  // offset in the stream of buf[0]
	rowStart int    // where the row read last starts in buf
	at       int    // where the next row starts
	from     int    // start of its first field that no used entry has ended
	err      error  // the error with which src ended

	lines   int // lines before buf[counted]
	counted int

	index   indexer
	entries []uint32 // of the window at win, those not yet used
	win     int
	indexed int  // how much of buf the index has seen
	ended   bool // the index has seen the end
	slow    bool // the index has found an error: readByRow reads from here on
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

// Read returns the next row. With ErrFieldCount it returns the row too, with another
// *ParseError the fields before the error; the next call continues behind its line. At the end
// it returns io.EOF.
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
	text := r.scratch // it already holds the fields without their quotes
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

// ReadAll reads rows up to the end or the first error. It returns a nil error at the end.
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

// ReadBorrowed is Read without copies: the record and its fields belong to the Reader and are
// valid until the next call. It allocates nothing once its buffers fit the longest row.
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
		buf, entries, from, win := r.buf, r.entries, r.from, r.win
		// The plain fields that a row begins with, if they are worth a call.
		if len(entries) > 3 && (entries[0]|entries[1]|entries[2]|entries[3])>>29 == 0 {
			var n int
			n, from = appendPlain(fields[len(fields):cap(fields)], buf, entries, from, win)
			fields, entries = fields[:len(fields)+n], entries[n:]
		}
		for i, v := range entries {
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
			r.entries, r.from = entries[i+1:], from
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

// appendPlain writes to fields the leading fields that need nothing but their bounds, as many
// as there is room for, and returns their number and where the next field starts. It is a
// function of its own, never inlined, so that its loop stays in registers.
//
//go:noinline
func appendPlain(fields [][]byte, buf []byte, entries []uint32, from, win int) (n, next int) {
	fields = fields[:min(len(fields), len(entries))]
	entries = entries[:len(fields)]
	for i, v := range entries {
		if v>>29 != 0 {
			return i, from
		}
		end := win + int(v)
		fields[i] = buf[from:end:end]
		from = end + 1
	}
	return len(fields), from
}

// unquote returns the text of f, which holds doubled quotes, in scratch.
func (r *Reader) unquote(f []byte) []byte {
	n := len(r.scratch)
	r.scratch = r.d.Unquote(r.scratch, f)
	return r.scratch[n:len(r.scratch):len(r.scratch)]
}

// start checks the fields that the caller has set.
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

// more indexes the next window and reads as far as that needs. It returns false at the end. If
// the window has an error it sets slow: readByRow then returns the rows before the error and
// finds its position.
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

// fill reads once. If buf is full it moves the open row to another buffer, so that the fields
// already found in the old one remain valid.
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

// line returns the number of the line at buf[at], the start of a row. at must not decrease
// between calls.
func (r *Reader) line(at int) int {
	r.lines += bytes.Count(r.buf[r.counted:at], lf)
	r.counted = at
	return r.lines + 1
}

// check returns ErrFieldCount if the row at rowStart, of n fields, has the wrong length.
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

// readByRow reads the next row byte by byte.
func (r *Reader) readByRow() ([][]byte, error) {
	for {
		rest := r.buf[r.at:]
		row, start, next, bad := r.d.scanRow(r.row[:0], rest, cursor{0, r.line(r.at)})
		r.row = row[:0]
		if next.at == len(rest) { // more input could change its meaning
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

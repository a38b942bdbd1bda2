package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/velonym/velonym/csvfast"
	"github.com/velonym/velonym/engine/bulk/profile"
	"github.com/velonym/velonym/internal/panics"
)

// ProfileOptions say what [Profile] reads. Their meaning is that of the same fields of
// [Job].
type ProfileOptions struct {
	Input     string // "" and "-" are Stdin
	Stdin     io.Reader
	Format    Format
	Comma     byte
	FindComma bool
	NoQuotes  bool
	Encoding  Encoding
	NoHeader  bool
	Header    bool
	MaxRow    int64
	MaxMemory int64
}

// maxProfileColumns is the largest number of columns that a profile counts. Each takes
// about 30 KiB.
const maxProfileColumns = 4096

// Profile describes the columns of a file without their values. It reads the file once,
// from front to back, in memory that depends on the number of columns and the longest row
// only. Rows of other lengths than the first are counted and do not end it.
//
// The report contains the names of columns unless the first row of CSV may be data.
// Errors are those of [Run] and contain no value.
func Profile(ctx context.Context, o ProfileOptions) (rep profile.Report, err error) {
	defer panics.Recover(&err)
	j := &Job{Inputs: []string{o.Input}, Stdin: o.Stdin, Format: o.Format, Comma: o.Comma, FindComma: o.FindComma, NoQuotes: o.NoQuotes, Encoding: o.Encoding, NoHeader: o.NoHeader, Header: o.Header,
		MaxRow: o.MaxRow, MaxMemory: o.MaxMemory}
	if o.Input == "" {
		j.Inputs[0] = "-"
	}
	if err := j.setDefaults(); err != nil {
		return rep, err
	}
	if j.Header && j.NoHeader {
		return rep, ErrHeaderOrNot
	}
	src, err := j.openSource(ctx, j.Inputs[0])
	if err != nil {
		return rep, err
	}
	defer src.done()
	rep.File = src.name
	if src.why != "" {
		rep.Notes = append(rep.Notes, fmt.Sprintf("the file is read as %s, %s", src.text, src.why))
	}
	format := j.Format
	if format == Auto {
		format = byName(j.Inputs[0])
		if src.isParquet() {
			format = Parquet
		}
	}
	if format == Parquet {
		return rep, j.profileParquet(ctx, src, &rep)
	}
	in := newProfileInput(ctx, j, src)
	if err := in.readMore(); err != nil {
		return rep, err
	}
	if err := refuseKind(src.name, in.head, in.all); err != nil && err != errMore {
		return rep, err
	}
	if format == NDJSON || format == JSON || looksLikeJSON(in.head) {
		return rep, j.profileJSON(in, &rep)
	}
	return rep, j.profileCSV(in, format, &rep)
}

// profileInput reads a source from front to back. It fails if a row is longer than
// Job.MaxRow, so that a quote that never closes does not fill the memory.
type profileInput struct {
	ctx  context.Context
	src  *source
	r    io.Reader
	head []byte // what was read so far
	all  bool   // and that is the whole input

	read   int64 // bytes that Read returned
	rowEnd int64 // value of read when the last row was complete
	most   int64 // longest allowed row plus what a reader reads ahead
	limit  int64 // Job.MaxRow, for the error
}

// readAhead is more than any reader of a profileInput reads ahead of a row.
const readAhead = 1 << 20

func newProfileInput(ctx context.Context, j *Job, src *source) *profileInput {
	in := &profileInput{ctx: ctx, src: src, r: src.stream, limit: j.MaxRow, most: 2*j.MaxRow + readAhead}
	if src.at != nil {
		in.r = io.NewSectionReader(src.at, 0, src.size)
	}
	return in
}

// readMore doubles head.
func (in *profileInput) readMore() error {
	if int64(len(in.head)) > in.limit {
		return &Error{File: in.src.name, Line: 1, Err: &RowTooLongError{in.limit}}
	}
	at := len(in.head)
	in.head = append(in.head, make([]byte, max(64<<10, at))...)
	n, err := io.ReadFull(in.r, in.head[at:])
	in.head = in.head[:at+n]
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		in.all, err = true, nil
	}
	return in.failed(err)
}

// start returns the input from the given offset in head on.
func (in *profileInput) start(offset int) io.Reader {
	in.r = io.MultiReader(bytes.NewReader(in.head[offset:]), in.r)
	return in
}

// Read fails if ctx has ended or the current row is too long.
func (in *profileInput) Read(b []byte) (int, error) {
	if in.ctx.Err() != nil {
		return 0, ErrInterrupted
	}
	if in.read-in.rowEnd > in.most {
		return 0, &RowTooLongError{in.limit}
	}
	n, err := in.r.Read(b)
	in.read += int64(n)
	return n, err
}

// rowDone records that a row is complete.
func (in *profileInput) rowDone() { in.rowEnd = in.read }

// failed returns the error for an error of reading.
func (in *profileInput) failed(err error) error {
	var known *Error
	var long *RowTooLongError
	switch {
	case err == nil || errors.Is(err, ErrInterrupted) || errors.As(err, &known):
		return err
	case errors.As(err, &long):
		return &Error{File: in.src.name, Err: long}
	}
	return in.src.readError(err)
}

// profileCSV counts the fields of CSV and TSV.
func (j *Job) profileCSV(in *profileInput, format Format, rep *profile.Report) error {
	d := j.dialect(format)
	h, err := j.readCSVHead(in.src.name, in.head, in.all, d)
	for err == errMore || err == nil && !in.all && !j.NoHeader && len(h.sample()) == 0 {
		if err := in.readMore(); err != nil {
			return err
		}
		h, err = j.readCSVHead(in.src.name, in.head, in.all, d)
	}
	if err != nil {
		return err
	}
	if h.fields > maxProfileColumns {
		return fmt.Errorf("%s: has %d columns; a profile counts %d at most", in.src.name, h.fields, maxProfileColumns)
	}
	if h.found {
		rep.Notes = append(rep.Notes, fmt.Sprintf("the separator is %q, by the first rows", h.d.Comma))
	}
	rep.Format = string(CSV)
	if h.d.Comma == '\t' {
		rep.Format = string(TSV)
	}
	names := make([]string, h.fields)
	switch {
	case h.header == nil:
	case j.Header || j.isHeader(h.header, h.sample()):
		copy(names, h.header)
		if separator := separatorOf(h.header, h.d.Comma); separator != "" {
			rep.Notes = append(rep.Notes, fmt.Sprintf("there is one column, whose name contains %q: is that the separator?", separator))
		}
	default:
		rep.Notes = append(rep.Notes, "the first row may be data, so it is neither shown nor counted")
	}
	columns := profile.NewColumns(names...)
	other, err := j.countCSV(in, h, columns, rep)
	if err != nil {
		return err
	}
	if other > 0 {
		rep.Notes = append(rep.Notes, fmt.Sprintf("%d rows have another number of fields than the first one", other))
	}
	rep.Columns = columns.Report()
	return nil
}

// countCSV counts the rows after the head, and returns how many have another number of
// fields than the first row.
func (j *Job) countCSV(in *profileInput, h *csvHead, columns *profile.Columns, rep *profile.Report) (other int64, err error) {
	r := csvfast.NewReader(in.start(h.prefix))
	r.Comma, r.Quote, r.FieldsPerRecord = rune(h.d.Comma), rune(h.d.Quote), -1
	for {
		fields, err := r.ReadBorrowed()
		if err == io.EOF {
			return other, nil
		}
		if err != nil {
			var syntax *csvfast.ParseError
			if !errors.As(err, &syntax) {
				return other, in.failed(err)
			}
			e := csvError(err, int(in.read))
			e.File, e.Line = in.src.name, e.Line+h.lines
			return other, e
		}
		in.rowDone()
		rep.Rows++
		if len(fields) != columns.Len() {
			other++
		}
		for i := range columns.Len() {
			if i < len(fields) {
				columns.Column(i).Add(fields[i], 1)
			} else {
				columns.Column(i).Missing(1)
			}
		}
	}
}

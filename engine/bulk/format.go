package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/velonym/velonym/csvfast"
	"github.com/velonym/velonym/engine/bulk/internal/hyperloglog"
)

// rowFormat describes a row-based format to a run.
type rowFormat struct {
	cut     cutter
	prefix  int   // bytes before the rows, copied unchanged
	lines   int64 // lines in the prefix
	data    bool  // rows may follow the prefix
	special []byte
	worker  func(s splicer) (finder, error)
	order   []int    // index in Job.Columns of each column found
	names   []string // name or number of each
	paths   bool     // names are JSON paths
	format  Format   // Auto, or the format that the content turned out to have
	doc     *jsonDocument
	note    error // warning about how the first row was interpreted, or nil
	comma   byte  // separator that was found from the rows, or 0
}

// processInput opens one input and writes its output.
func (r *run) processInput(ctx context.Context, in, out string) error {
	src, err := r.openSource(ctx, in)
	if err != nil {
		return err
	}
	defer src.done()
	r.sum.Inputs = append(r.sum.Inputs, src.name)
	if out == "-" {
		if f, ok := r.Stdout.(*os.File); ok || r.Stdout == nil {
			if f == nil {
				f = os.Stdout
			}
			if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
				if err := r.checkSameInfo(stdoutName, st); err != nil {
					return err
				}
			}
		}
	} else if err := r.checkSame(out); err != nil {
		return err
	}
	for _, side := range []string{r.Rejects, r.Mapping} {
		if side != "" && filepath.Clean(side) == filepath.Clean(out) {
			return usagef("output and %s are the same file", side)
		}
	}
	format := r.Format
	if format == Auto {
		format = byName(in)
		if src.isParquet() {
			format = Parquet
		}
		if src.isArrow() {
			format = Arrow
		}
	}
	if (format == Parquet || format == Arrow) && r.SkipLines > 0 {
		return usagef("%s: lines are skipped in CSV and TSV only, and this is %s", src.name, map[Format]string{Parquet: "Parquet", Arrow: "Arrow"}[format])
	}
	if format == Parquet || format == Arrow {
		if r.Encoding != ByMark || r.OutputEncoding != ByMark {
			return usagef("%s: is %s, whose text is always UTF-8, and an encoding is given", src.name, format)
		}
		if err := r.checkOutputNames(src.name, in, out, format); err != nil {
			return err
		}
		if r.checkOnly {
			return nil
		}
		if format == Arrow {
			return r.arrow(ctx, src, out)
		}
		return r.parquet(ctx, src, out)
	}
	head, all, rf, err := r.readHead(src, format)
	if err != nil {
		return err
	}
	if rf.format != Auto {
		format = rf.format
	}
	if err := r.checkOutputNames(src.name, in, out, format); err != nil {
		return err
	}
	if r.checkOnly {
		return nil
	}
	if src.why != "" {
		r.warn("%s: is read as %s, %s", src.name, src.text, src.why)
	}
	if rf.comma != 0 {
		r.warn("%s: the separator is %q, by the first rows", src.name, rf.comma)
	}
	if rf.note != nil && r.Warn != nil {
		r.Warn(rf.note)
	}
	return r.processRows(ctx, src, out, head, all, rf, format)
}

// readHead reads the start of the source until the format and its first row are known. all
// reports that head is the whole input.
func (r *run) readHead(src *source, format Format) (head []byte, all bool, rf *rowFormat, err error) {
	size := 64 << 10
	for {
		if src.at != nil {
			n := min(int64(size), src.size)
			head = make([]byte, n)
			k, err := src.at.ReadAt(head, 0)
			if err != nil && err != io.EOF {
				return nil, false, nil, fmt.Errorf("%s: %w", src.name, bareErr(err))
			}
			head = head[:k]
			all = int64(k) == src.size
		} else {
			if len(head) == cap(head) {
				head = append(make([]byte, 0, size), head...)
			}
			n, err := src.stream.Read(head[len(head):cap(head)])
			head = head[:len(head)+n]
			switch {
			case err == io.EOF:
				all = true
			case err != nil:
				return nil, false, nil, src.readError(err)
			}
		}
		err = refuseKind(src.name, head, all)
		if err == nil {
			rf, err = r.detectFormat(src.name, format, head, all)
		}
		if err != errMore {
			return head, all, rf, err
		}
		if int64(len(head)) > r.MaxRow {
			return nil, false, nil, &Error{File: src.name, Line: 1, Err: &RowTooLongError{r.MaxRow}}
		}
		if src.at != nil || len(head) == cap(head) {
			size *= 2
		}
	}
}

// detectFormat interprets the head of an input. It returns errMore if it needs more.
func (r *run) detectFormat(name string, format Format, head []byte, all bool) (*rowFormat, error) {
	switch {
	case r.SkipLines > 0 && (format == NDJSON || format == JSON || looksLikeJSON(head)):
		return nil, usagef("%s: lines are skipped in CSV and TSV only, and this is JSON", name)
	case format == NDJSON:
		return r.ndjsonFormat(name, head, all)
	case format == JSON || looksLikeJSON(head):
		return r.jsonFormat(name, format, head, all)
	}
	if r.NoQuotes && bytes.IndexByte(head, noQuote) >= 0 {
		return nil, &Error{File: name, Line: 1 + int64(bytes.Count(head[:bytes.IndexByte(head, noQuote)], lf)), Err: errNoQuote}
	}
	d := r.dialect(format)
	h, err := r.readCSVHead(name, head, all, d)
	if err != nil {
		return nil, err
	}
	d = h.d
	rf := &rowFormat{cut: d, prefix: h.prefix, lines: h.lines, special: []byte{d.Comma, d.Quote},
		order: h.order, names: h.names, data: len(h.columns) > 0}
	if h.found {
		rf.comma = d.Comma
	}
	if r.doubtful(h) {
		rf.note = &FirstRowWarning{name, h.lines}
	}
	headers := r.newHeaderMatcher(h)
	fields := h.fields
	if r.Ragged {
		fields = -1
	}
	rf.worker = func(s splicer) (finder, error) {
		sel, err := csvfast.NewSelector(d, h.columns, fields)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t := csvText{d: d, quote: d.Quote}
		s.text = t
		return &csvWorker{splicer: s, sep: t, sel: sel, headers: headers, ragged: r.Ragged, single: h.fields == 1}, nil
	}
	return rf, nil
}

// noQuote is the quote of files without quotes: the control character DEL. Rows that hold it
// are refused.
const noQuote = 0x7f

// Errors of files without quotes.
var (
	errNoQuote   = errors.New("the control character DEL (7F) stands here, which a file without quotes must not hold")
	errUnquoted  = errors.New("the result holds a separator or a line end, and in a file without quotes cannot stand in a field")
	errEmptyLine = errors.New("the only field of the row would be empty, and in a file without quotes an empty line is no row")
)

// dialect returns how CSV of a format is written.
func (j *Job) dialect(format Format) csvfast.Dialect {
	d := csvfast.Dialect{Comma: j.Comma, Quote: '"'}
	if d.Comma == 0 {
		d.Comma = ','
		if format == TSV {
			d.Comma = '\t'
		}
	}
	if j.NoQuotes {
		d.Quote = noQuote
	}
	return d
}

// splicer returns the format-independent part of a worker.
func (r *run) splicer(rf *rowFormat, seen *hyperloglog.Counter) splicer {
	s := splicer{names: rf.names, onError: r.OnError, dry: r.DryRun, mapping: r.mapping != nil, again: r.Again, special: rf.special, seen: seen, fastPaths: r.countFastPaths()}
	index := map[int]int{} // group of the run → of this input
	for _, c := range rf.order {
		col := r.Columns[c]
		g := r.groups[col.transform()]
		if _, ok := index[g]; !ok {
			index[g] = len(s.groups)
			s.groups = append(s.groups, newGroup(col, r.docs[g], rf.special))
		}
		s.owner = append(s.owner, index[g])
	}
	if len(r.Null) > 0 {
		s.null = map[string]struct{}{}
		for _, n := range r.Null {
			s.null[n] = struct{}{}
		}
	}
	return s
}

package bulk

import (
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
			case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
				return nil, false, nil, ErrInterrupted
			case err != nil && src.packed != None:
				return nil, false, nil, src.unpackError(err)
			case err != nil:
				return nil, false, nil, fmt.Errorf("%s: %w", src.name, bareErr(err))
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
	d := csvfast.Dialect{Comma: r.Comma, Quote: '"'}
	if d.Comma == 0 {
		d.Comma = ','
		if format == TSV {
			d.Comma = '\t'
		}
	}
	h, err := r.readCSVHead(name, head, all, d)
	if err != nil {
		return nil, err
	}
	d = h.d
	rf := &rowFormat{cut: d, prefix: h.prefix, lines: h.lines, special: []byte{d.Comma, d.Quote},
		order: h.order, names: h.names, data: len(h.columns) > 0}
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

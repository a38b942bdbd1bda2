package parquet

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// replaceBatch calls the replacer for the values of b and appends the results to dst as
// PLAIN byte arrays.
func (f *File) replaceBatch(ctx context.Context, o *replacedChunk, dst []byte, b *Batch) ([]byte, error) {
	b.f, b.chunk, b.Row = f, o, f.row+1
	f.counts.Batches++
	r, err := o.replacer.Replace(ctx, b)
	if err != nil {
		return nil, err
	}
	dst = slices.Grow(dst, len(r.Arena)+4*len(b.Spans)/2)
	if o.leaf.output != nil {
		return f.appendRestored(dst, b, r)
	}
	missing := r.Missing
	for i := 0; i < len(b.Spans); i += 2 {
		result := r.Arena[r.Spans[i]:][:r.Spans[i+1]]
		switch {
		case len(missing) > 0 && missing[0] == i/2:
			missing, result = missing[1:], nil
		case r.Values[i+1] == 0:
			result = b.Arena[b.Spans[i]:][:b.Spans[i+1]]
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(result)))
		dst = append(dst, result...)
	}
	return dst, nil
}

// appendRestored appends the results of b to dst as PLAIN values of the type that the column
// gets back. A result that does not fit the type is a *RestoreError.
func (f *File) appendRestored(dst []byte, b *Batch, r Results) ([]byte, error) {
	l := b.chunk.leaf
	dst = slices.Grow(dst, len(b.Spans)/2*(l.output.Width+4))
	missing := r.Missing
	for i := 0; i < len(b.Spans); i += 2 {
		result := r.Arena[r.Spans[i]:][:r.Spans[i+1]]
		switch {
		case b.Times(i/2) == 0: // no row refers to it
			dst = l.appendNothing(dst)
			continue
		case len(missing) > 0 && missing[0] == i/2:
			missing, result = missing[1:], nil
		case r.Values[i+1] == 0:
			result = b.Arena[b.Spans[i]:][:b.Spans[i+1]]
		}
		size := len(dst)
		if l.output.Width == 0 {
			dst = append(dst, 0, 0, 0, 0)
		}
		var err error
		if dst, err = l.output.AppendValue(dst, result); err != nil {
			return nil, b.notRestored(i/2, len(result) == 0, err)
		}
		if l.output.Width == 0 {
			binary.LittleEndian.PutUint32(dst[size:], uint32(len(dst)-size-4))
		}
	}
	return dst, nil
}

// appendNothing appends a zero or empty value, for a dictionary entry that no row refers to.
func (l *leaf) appendNothing(dst []byte) []byte {
	if l.output.Width == 0 {
		return append(dst, 1, 0, 0, 0, 0)
	}
	return l.output.AppendNothing(dst)
}

// notRestored returns the error of result i, with its row.
func (b *Batch) notRestored(i int, empty bool, err error) error {
	l := b.chunk.leaf
	if empty {
		err = typed.ErrEmpty
	}
	e := &RestoreError{File: b.f.name, Column: l.name(), Type: typeName(l.element, l.output), Err: err}
	if err := b.Locate([]int{i}, 1, func(row int64, _ int) error { e.Row = row; return nil }); err != nil {
		return err
	}
	return e
}

// Locate finds the rows of given values of the batch, which are ascending, or of given
// entries of a dictionary, for which it reads all pages once more. It calls found with
// each row, from 1, and with the position of the value in given, at most limit times. An
// error of found ends it.
func (b *Batch) Locate(given []int, limit int, found func(row int64, i int) error) error {
	if limit <= 0 || len(given) == 0 {
		return nil
	}
	if b.page == nil {
		return b.f.locateUses(b, given, limit, found)
	}
	at := make([]int64, min(limit, len(given)))
	for i := range at {
		at[i] = b.first + int64(given[i])
	}
	return b.f.locateIn(b.chunk, b.page, b.chunk.row, at, found)
}

// locateIn calls found with the rows of values of a page, given by their numbers.
func (f *File) locateIn(o *replacedChunk, d *dataPage, before int64, at []int64, found func(row int64, i int) error) error {
	rows, err := d.rowsOf(o.leaf, at)
	if err != nil || len(rows) != len(at) {
		return o.bad("the levels of a page are damaged")
	}
	for i, row := range rows {
		if err := found(f.row+before+row+1, i); err != nil {
			return err
		}
	}
	return nil
}

// locateUses is Locate for entries of a dictionary.
func (f *File) locateUses(b *Batch, entries []int, limit int, found func(row int64, i int) error) error {
	o := b.chunk
	position := map[uint32]int{}
	for i, e := range entries {
		position[uint32(e)] = i
	}
	before := int64(0)
	return f.pages(&o.columnChunk, func(page *rawPage) error {
		if page.kind == format.DictionaryPage || limit == 0 {
			return nil
		}
		d, err := f.open(&o.columnChunk, page)
		if err != nil {
			return err
		}
		defer func() { before += d.rows }()
		if !page.isIndexes() || d.values == 0 {
			return nil
		}
		var at []int64
		var which []int
		var indexes levelCursor
		if indexes.rle, err = newRLE(d.data[1:], int(d.data[0]), d.values); err != nil {
			return o.bad("a page is damaged: %w", err)
		}
		for i := int64(0); i < d.values && len(at) < limit; i++ {
			index, err := indexes.next()
			if err != nil {
				return o.bad("a page is damaged: %w", err)
			}
			if k, ok := position[index]; ok {
				at, which = append(at, i), append(which, k)
			}
		}
		limit -= len(at)
		return f.locateIn(o, &d, before, at, func(row int64, i int) error { return found(row, which[i]) })
	})
}

package parquet

import (
	"context"
	"io"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
)

// File is a Parquet file whose columns are to be replaced. One goroutine at a time.
type File struct {
	reader
	meta     *thrift.Value // FileMetaData, edited on the way
	leaves   []leaf
	replaced map[int]Replacer // by leaf
	counts   *Counts

	out     *writer
	row     int64         // rows of the row groups before
	written []replacedSum // the replaced chunks

	copied        []byte     // buffer of copy
	values        pageValues // of the page under way
	plain, packed []byte     // its results
}

// replacedSum is what Verify holds a replaced chunk against.
type replacedSum struct {
	sum      uint32  // CRC-32C of its bytes, as they were written
	copied   bool    // its pages of indexes are copies of pages that were unpacked and counted
	pageRows []int64 // with copied: rows of each data page
}

// Replacer replaces the values of a column. An error of its methods ends Write, which
// returns it as it is.
type Replacer interface {
	// Nulls is told of n values that are null; they stay.
	Nulls(n int64)
	// Once reports whether the values of a dictionary, whose offsets and lengths in
	// arena are in spans, may be replaced once for all rows that refer to them: equal
	// values get equal results, and none must be seen once a row.
	Once(ctx context.Context, arena []byte, spans []uint32) (bool, error)
	// Replace replaces the values of b. Write has taken what it needs of the results
	// when it calls the next method.
	Replace(ctx context.Context, b *Batch) (Results, error)
}

// Batch is values to replace: those of a part of a page, or of a dictionary.
type Batch struct {
	Arena []byte
	Spans []uint32 // offset and length of each value in Arena
	Uses  []int64  // of a dictionary: how many values of rows each entry stands for; nil: one
	Total int64    // values of rows that all of them stand for
	Row   int64    // first row of the row group, from 1

	f     *File
	chunk *replacedChunk
	page  *dataPage // nil: of a dictionary
	first int64     // of the page's values before
}

// Times returns how many values of rows entry i stands for.
func (b *Batch) Times(i int) int64 {
	if b.Uses == nil {
		return 1
	}
	return b.Uses[i]
}

// Results is what becomes of the values of a batch.
type Results struct {
	Arena   []byte
	Spans   []uint32 // offset and length of each result in Arena
	Values  []uint32 // the batch's Spans; a value whose length is 0 here passes as it is
	Missing []int    // values that have no result and become empty, ascending
}

// Counts says how often each way of doing the work was taken. Tests read it.
type Counts struct {
	Copied            int // chunks, byte for byte
	Dictionaries      int // replaced once for all pages that refer to them
	IndexPages        int // copied behind such a dictionary
	Dropped           int // dictionaries whose pages were written as values
	PlainPages, Delta int // pages of values
	Split             int // pages whose values are split into streams of bytes
	Typed, Restored   int // column chunks of another type that became strings, and back
	Batches           int
	Verified          int // chunks of outputs
	Unread            int // of them, copied pages of indexes that were not unpacked again
}

// Open reads the metadata of a file of size bytes. memory bounds what its footer, and a
// page with its results, may take; name is for errors. counts may be nil.
func Open(name string, at io.ReaderAt, size, memory int64, counts *Counts) (f *File, err error) {
	if counts == nil {
		counts = &Counts{}
	}
	f = &File{reader: reader{name: name, at: at, size: size, memory: memory}, replaced: map[int]Replacer{}, counts: counts}
	if f.meta, _, err = f.footer(); err != nil {
		return nil, err
	}
	if f.leaves, err = f.readSchema(f.meta); err != nil {
		return nil, err
	}
	return f, nil
}

// Close frees what decoders hold.
func (f *File) Close() { f.unpacker.close() }

// Columns returns the dotted names of the columns of values, in the order of the schema.
func (f *File) Columns() []string {
	var names []string
	for i := range f.leaves {
		names = append(names, f.leaves[i].name())
	}
	return names
}

// Check refuses a file that Write cannot write, once its columns are known.
func (f *File) Check() error { return f.checkRowGroups() }

// Share reduces the file to the part-th of parts shares of its row groups, counted
// from 1. A share is a Parquet file of its own.
func (f *File) Share(part, parts int) {
	groups := f.meta.Items(fileRowGroups)
	groups = groups[len(groups)*(part-1)/parts : len(groups)*part/parts]
	f.meta.Field(fileRowGroups).List = groups
	rows := int64(0)
	for i := range groups {
		rows += groups[i].Int(groupRows)
		groups[i].Set(groupOrdinal, int64(i))
	}
	f.meta.Set(fileRows, rows)
}

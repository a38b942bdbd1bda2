package parquet

import (
	"context"
	"io"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
)

// File is a Parquet file whose columns are to be replaced. One goroutine uses it at a time.
type File struct {
	reader
	meta     *thrift.Value // FileMetaData, edited into that of the output
	leaves   []leaf
	replaced map[int]Replacer // by leaf
	counts   *Counts

	out     *writer
	row     int64         // rows of the previous row groups
	written []replacedSum // the replaced chunks

	copied        []byte     // buffer of copy
	values        pageValues // of the current page
	plain, packed []byte     // its results
}

// replacedSum is what Verify compares a replaced chunk with.
type replacedSum struct {
	sum      uint32  // CRC-32C of the bytes that were written
	copied   bool    // its pages of indexes are copies of pages that countUses has decoded
	pageRows []int64 // with copied: rows of each data page
}

// Replacer replaces the values of a column. An error of its methods ends Write, which
// returns it unchanged.
type Replacer interface {
	// Nulls receives the number of values that are null. They stay null.
	Nulls(n int64)
	// Once reports whether the values of a dictionary may be replaced once for all rows that
	// refer to them: equal values get equal results, and the replacer need not see each
	// occurrence. spans holds their offsets and lengths in arena.
	Once(ctx context.Context, arena []byte, spans []uint32) (bool, error)
	// Replace returns the results of the values of b. They must remain valid until the next
	// call of a method.
	Replace(ctx context.Context, b *Batch) (Results, error)
}

// Batch holds values to replace: those of a part of a page, or of a dictionary.
type Batch struct {
	Arena []byte
	Spans []uint32 // offset and length of each value in Arena
	Uses  []int64  // of a dictionary: how many values refer to each entry; nil: each stands for one
	Total int64    // sum of Uses, or the number of values
	Row   int64    // first row of the row group, from 1

	f     *File
	chunk *replacedChunk
	page  *dataPage // nil for a dictionary
	first int64     // values of the page before this batch
}

// Times returns how many values of the column value i of the batch stands for.
func (b *Batch) Times(i int) int64 {
	if b.Uses == nil {
		return 1
	}
	return b.Uses[i]
}

// Results are the results of a batch.
type Results struct {
	Arena   []byte
	Spans   []uint32 // offset and length of each result in Arena
	Values  []uint32 // the batch's Spans; a value whose length is 0 here passes unchanged
	Missing []int    // values without a result, ascending; they become empty
}

// Counts counts how often each path through the code was taken. Only tests read it.
type Counts struct {
	Copied            int // chunks, byte for byte
	Dictionaries      int // replaced once for all pages that refer to them
	IndexPages        int // copied behind such a dictionary
	Dropped           int // dictionaries whose pages were written as values
	PlainPages, Delta int // pages of values
	Split             int // pages in BYTE_STREAM_SPLIT
	Typed, Restored   int // column chunks of another type that became strings, and back
	Batches           int
	Verified          int // chunks of outputs
	Unread            int // copied pages of indexes that Verify did not decode again
}

// Open reads the metadata of a file of size bytes. memory limits the bytes that its footer,
// and a page with its results, may take. Errors call the file name. counts may be nil.
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

// Close frees the decoders.
func (f *File) Close() { f.unpacker.close() }

// Columns returns the dotted names of the leaf columns, in the order of the schema.
func (f *File) Columns() []string {
	var names []string
	for i := range f.leaves {
		names = append(names, f.leaves[i].name())
	}
	return names
}

// Check refuses a file that Write cannot write. It is called after Replace.
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

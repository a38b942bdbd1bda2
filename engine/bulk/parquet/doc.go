// Package parquet replaces the values of columns in Parquet files.
//
// The chunks of replaced columns are read page by page and written anew; all other
// chunks are copied byte for byte, and the footer is edited to say where everything
// is now. Whatever tells of the original values of a replaced column is removed:
// statistics of chunks and pages, column indexes, bloom filters, and the part of a
// sort order that begins with the column. A dictionary is replaced once where equal
// values get equal results; the pages that refer to it are then copied. What was
// written can be read back and checked with [File.Verify].
//
// The caller replaces values through a [Replacer]: the package hands it an arena of
// bytes with the offset, length pairs of the values, and takes another one back. It
// knows nothing of how values are transformed, nor of journals and limits of other
// kinds; memory is bounded by what [Open] is given.
//
// A file may hold anything: every size and count is checked against the bytes that
// are there, and against memory, before it is believed. Errors never hold a value.
//
// Source: apache/parquet-format: README.md, Encodings.md and parquet.thrift, whose
// metadata is in Thrift's compact protocol.
package parquet

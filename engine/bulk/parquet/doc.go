// Package parquet replaces the values of columns in Parquet files.
//
// The chunks of replaced columns are read page by page and rewritten. All other chunks are
// copied byte for byte, and the footer is edited to state the new offsets. Everything that
// reveals original values of a replaced column is removed: statistics of chunks and pages,
// column indexes, bloom filters, and the part of a sort order that begins with the column.
// If equal values get equal results, a dictionary is replaced once and the pages that refer
// to it are copied. [File.Verify] reads the output back and checks it.
//
// The caller replaces values through a [Replacer]: it receives an arena of bytes with the
// offset, length pairs of the values, and returns another one. The package does not know how
// values are transformed, nor journals or budgets. [Open] is given the limit of its memory.
//
// Input is not trusted: every size and count is checked against the bytes of the file, and
// against the memory limit, before it is used. Errors never hold a value.
//
// Source: apache/parquet-format: README.md, Encodings.md and parquet.thrift, whose
// metadata is in Thrift's compact protocol.
package parquet

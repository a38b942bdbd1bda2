// Package arrow replaces the values of columns in Arrow IPC streams and files.
//
// Only the buffers of replaced columns are read and written anew; all other buffers,
// packed ones too, are passed on byte for byte, and so is the schema. A stream is read and
// written a record batch at a time, and each batch is flushed before the next is read, so
// that a program at both ends of a pipe never waits for its own answer. Text that no row
// refers to (before the first offset, under a null, beneath a list or struct that is null)
// is left out of the output.
//
// The caller opens an input with [OpenStream] or [OpenFile], asks for its columns with
// [Stream.Columns], names those to replace with [Stream.Replace] and calls [Stream.Write].
// It replaces values through a [Replacer]: the package hands it the column's own buffer of
// bytes with the offset, length pairs of the values, and takes another one back. The
// package knows nothing of how values are transformed.
//
// An input may hold anything: every size, count and offset is checked against the bytes
// that are there, and against memory, before it is believed. Errors never hold a value.
//
// Source: apache/arrow: format/Message.fbs, Schema.fbs, File.fbs, and the page "Arrow
// Columnar Format", section "Serialization and Interprocess Communication".
package arrow

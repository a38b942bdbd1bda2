// Package arrow replaces the values of columns in Arrow IPC streams and files.
//
// Only the buffers of replaced columns are decoded and written anew; all other buffers,
// compressed ones too, are copied byte for byte, and so is the schema unless a column has
// another type in the output. A stream is read and written one record batch at a time, and
// each batch is flushed before the next is read, so that a program at both ends of a pipe
// never waits for its own answer. Text that no row refers to (before the first offset, under
// a null, inside a list or struct that is null) is left out of the output.
//
// A column of numbers, UUIDs or bytes of a fixed length becomes one of text, and the
// schema's metadata remembers what it was (package typed). The values of a dictionary are
// replaced once, where equal values get equal results; else the column loses it.
//
// The caller opens an input with [OpenStream] or [OpenFile], asks for its columns with
// [Stream.Columns], names those to replace with [Stream.Replace] and calls [Stream.Write].
// Values are replaced by a [Replacer]: the package passes it the column's own buffer of bytes
// with offset and length of each value, and gets results of the same form back. The package
// does not know how values are transformed.
//
// An input may hold anything: every size, count and offset is checked against the bytes
// present, and against the memory limit, before it is used. Errors never hold a value.
//
// Source: apache/arrow: format/Message.fbs, Schema.fbs, File.fbs, and the page "Arrow
// Columnar Format", section "Serialization and Interprocess Communication".
package arrow

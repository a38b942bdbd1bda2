// Package csvfast finds the fields of CSV at the speed of memory and writes values with the
// least quoting. Package jsonfast does the same for JSON.
//
// One strict pass of vector instructions makes a structural index of a window of the input:
// where every field ends, which fields end a row and which hold quotes. Everything else is
// built on it. [Index] returns the index itself, [Selector] the positions of chosen columns in
// a buffer of whole rows (or in the whole rows of a buffer, for streams). [Reader] has the
// interface of encoding/csv's reader, and [Reader.ReadBorrowed] avoids its copies. [Dialect]
// cuts a file into exact shares at row ends outside quotes. Positions are ranges in the
// caller's bytes; nothing is copied or normalised: a CRLF inside quotes remains one.
//
// Valid CSV is what encoding/csv accepts without LazyQuotes, and errors have the same line
// and column:
//
//   - a row ends at a line feed outside quotes; a carriage return right before
//     it belongs to the row end, any other is data. The last row may end at the
//     end of the input, with or without a carriage return
//   - a field that starts with the quote character is quoted: it ends at a
//     quote that is followed by a delimiter or a row end, and holds quotes
//     doubled. A quote in any other field is an error
//   - empty lines are not rows
//
// Every loop has a portable form, which is its specification, and vector forms for
// amd64 (AVX-512, AVX2) and arm64 (NEON). Assembly follows ABI0: a call may clobber every
// vector, mask and general register, keeps no pointer, and ends with VZEROUPPER on amd64.
// What it reads and what it writes do not overlap unless its contract says "in place".
//
// One goroutine at a time uses a value of these types; functions and Dialect are safe for
// concurrent use.
package csvfast

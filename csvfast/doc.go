// Package csvfast finds the fields of CSV at the speed of memory and writes values
// with the least quoting. Package jsonfast beneath it does the same for JSON.
//
// It works index first. A structural index of a window of the input (where
// every field ends, which end a row, which hold quotes) is made by vector
// instructions in one strict pass, and everything else is built on it:
// [Index] shows it as it is, [Selector] gives the positions of chosen columns of a
// buffer of whole rows (or of the whole rows of a buffer, for streams), [Reader]
// has the shape of encoding/csv's reader and [Reader.ReadBorrowed] its speed, and
// [Dialect] cuts a file into exact shares at true row ends, whatever its quoting.
// Positions are ranges over the caller's bytes; nothing is copied, and nothing is
// normalised: a CRLF inside quotes stays as it is.
//
// What is valid CSV is what encoding/csv accepts with LazyQuotes off, and what
// is refused is refused at the same line and column:
//
//   - a row ends at a line feed outside quotes; a carriage return right before
//     it belongs to the row end, any other is data. The last row may end at the
//     end of the input, with or without a carriage return
//   - a field that starts with the quote character is quoted: it ends at a
//     quote that is followed by a delimiter or a row end, and holds quotes
//     doubled. A quote in any other field is an error
//   - lines that hold nothing are no rows
//
// Every loop has a portable form, which is its specification, and vector forms for
// amd64 (AVX-512, AVX2) and arm64 (NEON). Assembly follows ABI0: a call may clobber every
// vector, mask and general register, keeps no pointer, and ends with VZEROUPPER on amd64.
// What it reads and what it writes do not overlap unless its contract says "in place".
//
// All types are for one goroutine at a time; functions and Dialect are safe for
// concurrent use.
package csvfast

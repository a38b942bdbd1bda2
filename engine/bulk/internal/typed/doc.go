// Package typed holds the rules for identifiers that a file stores as numbers, UUIDs or
// bytes of a fixed length: the text that is transformed in their place, the way back
// from such text to the stored bytes, and how a file remembers what a column was.
//
// The canonical text of a value is
//
//   - of an integer, and of a decimal of scale 0, its decimal digits, without leading
//     zeros, behind a - if it is negative;
//   - of a UUID, its 32 hexadecimal digits in lower case in the groups 8-4-4-4-12;
//   - of other bytes of a fixed length, two hexadecimal digits in lower case for each.
//
// A value has one such text and a text one value, so that a reversed column is the
// original byte for byte. [Layout] converts whole columns in either direction, without
// memory of its own for a value; [Memory] is what a file's metadata remembers. The
// package knows no file format.
package typed

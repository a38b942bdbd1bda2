// Package typed holds the rules for identifiers that a file stores as numbers, UUIDs or
// bytes of a fixed length: the text that is transformed in their place, the conversion of
// such text back to the stored bytes, and the record in a file's metadata of the original
// types of its columns.
//
// The canonical text of a value is
//
//   - of an integer, and of a decimal of scale 0, its decimal digits, without leading
//     zeros, after a - if it is negative;
//   - of a UUID, its 32 hexadecimal digits in lower case in the groups 8-4-4-4-12;
//   - of other bytes of a fixed length, two hexadecimal digits in lower case for each.
//
// A value has one such text and a text one value, so that a reversed column equals the
// original byte for byte. [Layout] converts whole columns in both directions without
// allocating memory for each value; [Memory] is the record of original types. The package
// does not know any file format.
package typed

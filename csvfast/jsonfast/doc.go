// Package jsonfast finds the strings of JSON at the speed of memory and escapes strings. It
// returns positions in the caller's buffer and copies nothing.
//
// [Array] reads texts of the form {"data":["…",…]}, the body of a request. [PathFinder] finds
// strings by path in lines of JSON, in the items of an array or in a sequence of JSON texts;
// [Splitter] finds where such a document may be cut. [Unescape] and [AppendEscaped] convert
// between the text and the value of a string.
//
// All of them check the whole text by RFC 8259, and restrict what the RFC leaves open: valid
// UTF-8 only, no escape of half a surrogate pair, no byte order mark, nesting of at most 512.
// Duplicate member names and numbers of any size are valid. An error is a [*SyntaxError] with
// an offset and without any byte of the text.
//
// Every loop has a portable form, which is its specification, and vector forms for amd64
// (AVX-512, AVX2) and arm64 (NEON). The rules of package csvfast apply to their assembly. One
// goroutine at a time uses a value of these types; functions are safe for concurrent use.
package jsonfast

// Package jsonfast finds the strings of JSON at the speed of memory and writes
// escaped ones. It returns positions in the caller's buffer and copies nothing.
//
// [Array] reads the one shape {"data":["…",…]}, the body of a request. [PathFinder]
// finds strings by path in lines of JSON, in the items of an array or in a sequence of
// JSON texts; [Splitter] finds where such a document may be cut. [Unescape] and
// [AppendEscaped] convert between a string's text and its value.
//
// All of them check the whole text by RFC 8259, and more strictly where the RFC leaves
// it open: valid UTF-8 only, no escape of half a surrogate pair, no byte order mark,
// nesting of at most 512. Duplicate member names and numbers of any size are valid. An
// error is a [*SyntaxError] with an offset, never a byte of the text.
//
// Every loop has a portable form, which is its specification, and vector forms for
// amd64 (AVX-512, AVX2) and arm64 (NEON). Their assembly keeps the rules that package
// csvfast states. Types are for one goroutine at a time, functions for any number.
package jsonfast

package jsonfast

import "fmt"

// maxDepth is the deepest nesting of arrays and objects in a JSON text. This package does not
// recurse; the limit protects programs that read the text later.
const maxDepth = 512

// maxInput bounds the buffers whose spans are 32 bits wide.
const maxInput = 1<<32 - 1

// SyntaxError is the position at which a JSON text is invalid, and the reason.
//
// Offset counts bytes from 0 at the start of the scanned buffer. It is that of the first byte
// with which no valid text can continue. For an invalid escape, or one of half a surrogate pair,
// it is that of the backslash; for invalid UTF-8 that of the sequence's first byte; for a text
// that ends too early the length of the buffer.
type SyntaxError struct {
	Offset int64
	Line   int // line of a PathFinder's buffer, from 1; 0 for Array and Validate
	Reason string
}

// Error returns the position and the reason, without any byte of the text.
func (e *SyntaxError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("json: line %d, byte %d: %s", e.Line, e.Offset, e.Reason)
	}
	return fmt.Sprintf("json: byte %d: %s", e.Offset, e.Reason)
}

// Reasons of a SyntaxError.
const (
	reasonEnd       = "text ends too early"
	reasonBOM       = "byte order mark not allowed; send UTF-8 without one"
	reasonValue     = "value expected"
	reasonLiteral   = "unknown word; only true, false and null are allowed unquoted"
	reasonNumber    = "malformed number"
	reasonControl   = "control character in a string; escape it"
	reasonUTF8      = "string is not valid UTF-8"
	reasonEscape    = "unknown escape in a string"
	reasonSurrogate = "escape of half a surrogate pair, which has no UTF-8 form"
	reasonKey       = "member name in quotes expected"
	reasonColon     = "':' expected after a member name"
	reasonComma     = "',' or the closing bracket expected"
	reasonDepth     = "nested deeper than 512 levels"
	reasonTrailing  = "text after the end of the value"
	reasonObject    = `an object with a member "data" expected`
	reasonNoData    = `no member "data" in the object`
	reasonTwice     = `member "data" given twice`
	reasonNotArray  = `member "data" is no array`
	reasonTooLong   = "4 GiB or more in one buffer; split it"
)

// Validate returns nil if buf is one JSON text by the rules of this package, of any type of
// value; otherwise a *SyntaxError. It allocates only the error.
func Validate(buf []byte) error {
	i := skipSpace(buf, 0)
	if at, reason := leadingMark(buf); reason != "" {
		return &SyntaxError{Offset: int64(at), Reason: reason}
	}
	i, reason := checkValue(buf, i, 0)
	if reason == "" {
		if i = skipSpace(buf, i); i < len(buf) {
			reason = reasonTrailing
		}
	}
	if reason != "" {
		return &SyntaxError{Offset: int64(i), Reason: reason}
	}
	return nil
}

// Array finds the strings of {"data":["…","…"]}, the body of a request. The zero value is ready
// for use, by one goroutine at a time. Scan reuses the slices and therefore allocates nothing
// once they have grown.
type Array struct {
	// Spans holds an offset and a length for every item of the array: the text between its
	// quotes, with its escapes; 0, 0 for an item that is not a string.
	Spans []uint32
	// Escaped holds the indexes of the items with a backslash, in ascending order; Unescape
	// returns their values.
	Escaped []uint32
	// NotString holds the indexes of the items that are valid JSON but not strings, in
	// ascending order.
	NotString []uint32

	notes [arrayBlocks]arrayNote
	paths arrayPaths
}

// Scan reads one JSON text by the rules of this package: an object that has the member "data"
// exactly once, with an array as its value. Other members are checked and skipped. The name
// "data" may contain escapes.
//
// An error is a *SyntaxError, with which the slices are empty.
func (a *Array) Scan(buf []byte) error {
	a.Spans, a.Escaped, a.NotString = a.Spans[:0], a.Escaped[:0], a.NotString[:0]
	at, reason := a.scan(buf)
	if reason == "" {
		return nil
	}
	a.Spans, a.Escaped, a.NotString = a.Spans[:0], a.Escaped[:0], a.NotString[:0]
	return &SyntaxError{Offset: int64(at), Reason: reason}
}

// scan does the work of Scan. It returns the offset of the error and its
// reason, or the length of buf and "".
func (a *Array) scan(buf []byte) (int, string) {
	if uint64(len(buf)) > maxInput {
		return 0, reasonTooLong
	}
	if at, reason := leadingMark(buf); reason != "" {
		return at, reason
	}
	i := skipSpace(buf, 0)
	if i == len(buf) {
		return i, reasonEnd
	}
	if buf[i] != '{' {
		return i, reasonObject
	}
	i = skipSpace(buf, i+1)
	found := false
	if i < len(buf) && buf[i] == '}' {
		return i, reasonNoData
	}
	for {
		if i == len(buf) {
			return i, reasonEnd
		}
		if buf[i] != '"' {
			return i, reasonKey
		}
		name := i
		end, escaped, reason := checkString(buf, i+1)
		if reason != "" {
			return end, reason
		}
		isData := isName(buf[i+1:end], escaped, "data")
		if isData && found {
			return name, reasonTwice
		}
		if i, reason = pastColon(buf, end+1); reason != "" {
			return i, reason
		}
		if isData {
			found = true
			if i == len(buf) {
				return i, reasonEnd
			}
			if buf[i] != '[' {
				if end, reason := checkValue(buf, i, 1); reason != "" {
					return end, reason
				}
				return i, reasonNotArray
			}
			i, reason = a.items(buf, i+1)
		} else {
			i, reason = checkValue(buf, i, 1)
		}
		if reason != "" {
			return i, reason
		}
		i = skipSpace(buf, i)
		if i == len(buf) {
			return i, reasonEnd
		}
		switch buf[i] {
		case ',':
			i = skipSpace(buf, i+1)
			continue
		case '}':
		default:
			return i, reasonComma
		}
		end = skipSpace(buf, i+1)
		if end < len(buf) {
			return end, reasonTrailing
		}
		if !found {
			return i, reasonNoData
		}
		return end, ""
	}
}

// isName reports whether the member name with the text raw equals want.
func isName(raw []byte, escaped bool, want string) bool {
	if !escaped {
		return string(raw) == want
	}
	if len(raw) > 6*len(want) {
		return false // an escape has at most six bytes for one
	}
	var scratch [64]byte
	if len(raw) > len(scratch) {
		return string(Unescape(make([]byte, 0, len(raw)), raw)) == want
	}
	return string(Unescape(scratch[:0], raw)) == want
}

// item reads one item at i and returns the position past it.
func (a *Array) item(buf []byte, i int) (int, string) {
	if i == len(buf) {
		return i, reasonEnd
	}
	n := uint32(len(a.Spans) / 2)
	if buf[i] != '"' {
		end, reason := checkValue(buf, i, 2)
		if reason == "" {
			a.NotString = append(a.NotString, n)
			a.Spans = append(a.Spans, 0, 0)
		}
		return end, reason
	}
	end, escaped, reason := checkString(buf, i+1)
	if reason != "" {
		return end, reason
	}
	// A kernel may have read a part of this string before and recorded its escape.
	if escaped && (len(a.Escaped) == 0 || a.Escaped[len(a.Escaped)-1] != n) {
		a.Escaped = append(a.Escaped, n)
	}
	a.Spans = append(a.Spans, uint32(i+1), uint32(end-i-1))
	return end + 1, ""
}

package jsonfast

import "fmt"

// maxDepth bounds how deep arrays and objects may be nested in one JSON text.
// A deeper text is refused. The walk needs no recursion, so the bound protects
// those who read the text after us, not this package's stack.
const maxDepth = 512

// maxInput bounds the buffers whose spans are 32 bits wide.
const maxInput = 1<<32 - 1

// SyntaxError says where and why a JSON text was refused.
//
// Offset counts bytes from 0 at the start of the scanned buffer and names the
// first byte that no valid text could have at its place. For an escape that
// is wrong or stands for half a surrogate pair it names the backslash, for
// ill-formed UTF-8 the first byte of the sequence, for a text that ends too
// early the length of the buffer.
type SyntaxError struct {
	Offset int64
	Line   int // 1-based line of a PathFinder's buffer; 0 where lines mean nothing
	Reason string
}

// Error never holds a byte of the text.
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

// Validate reports whether buf is one JSON text (RFC 8259) with any value
// on top, under the rules of this package: valid UTF-8 throughout, no escape
// of half a surrogate pair, nesting up to 512, no byte order mark. Duplicate
// member names are allowed, numbers of any size too. It returns nil or a
// *SyntaxError, and allocates only that.
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

// Array finds the strings of {"data":["…","…"]}, the body of a request.
// The zero value is ready. One goroutine at a time; the slices are reused by
// the next Scan, which therefore allocates nothing once they have grown.
type Array struct {
	// Spans holds an offset and a length for every item of the array: the
	// bytes between its quotes, escapes not undone; 0, 0 for an item that is
	// no string.
	Spans []uint32
	// Escaped holds the indexes of the items with a backslash, ascending:
	// these need Unescape.
	Escaped []uint32
	// NotString holds the indexes of the items that are valid JSON but no
	// strings, ascending.
	NotString []uint32

	notes [arrayBlocks]arrayNote
	paths arrayPaths
}

// Scan reads one JSON text, RFC 8259 strict: an object that has the member
// "data" exactly once, with an array as its value. Other members may stand
// before and after it; they are checked as strictly and skipped. A member name
// counts as "data" however it is escaped. The text must be valid UTF-8, must
// not start with a byte order mark, must not escape half a surrogate pair and
// may be nested 512 deep.
//
// An error is a *SyntaxError; the slices are empty then.
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

// isName reports whether the raw member name, unescaped, equals want.
func isName(raw []byte, escaped bool, want string) bool {
	if !escaped {
		return string(raw) == want
	}
	if len(raw) > 6*len(want) {
		return false // an escape makes at most six bytes of one
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
	// A kernel may have got into this string before and have seen its escape.
	if escaped && (len(a.Escaped) == 0 || a.Escaped[len(a.Escaped)-1] != n) {
		a.Escaped = append(a.Escaped, n)
	}
	a.Spans = append(a.Spans, uint32(i+1), uint32(end-i-1))
	return end + 1, ""
}

package jsonfast

import "bytes"

// A PathFinder also reads values that are not lines: the items of a JSON array, and concatenated
// JSON texts. It learns the shapes of items like those of lines, with the comma in place of the
// line feed. It learns no shapes of texts, which are usually few and large.

// ScanItems reads items of a JSON array, each of which is a row and is followed by a comma. With
// last, the array ends in buf: a ']' and then only white space follow the last item; with first
// too, the array may be empty. The rules of Scan apply to the items.
func (f *PathFinder) ScanItems(buf []byte, first, last bool) error {
	f.start(true)
	at, reason := f.scanItems(buf, first, last)
	f.Lines = bytes.Count(buf, []byte{'\n'})
	return f.end(buf, at, reason)
}

func (f *PathFinder) scanItems(buf []byte, first, last bool) (int, string) {
	if uint64(len(buf)) > maxInput {
		return 0, reasonTooLong
	}
	if first && last {
		if i := skipSpace(buf, 0); i < len(buf) && buf[i] == ']' {
			return onlySpace(buf, i+1)
		}
	}
	i := 0
	plain := 0 // up to this offset shapes are not used
	for {
		if i == len(buf) {
			if last {
				return i, reasonEnd
			}
			return i, ""
		}
		if i >= plain {
			next := f.read(buf, i)
			if next < 0 { // there is an error: find the first one item by item
				plain = len(buf)
				continue
			}
			if i = next; i == len(buf) {
				continue
			}
		}
		f.shapes.seen, f.shapes.odd, f.repeats = f.shapes.seen[:0], false, false
		at, reason := f.item(buf, i)
		if reason != "" {
			return at, reason
		}
		if buf[at] == ']' {
			if !last {
				return at, reasonTrailing
			}
			return onlySpace(buf, at+1)
		}
		f.shapes.odd = f.shapes.odd || f.repeats // its values could not be counted row by row
		f.shapes.learn(buf, i, at+1, false)
		i = at + 1
	}
}

// item reads an item at i and returns the position of the comma or bracket after it.
func (f *PathFinder) item(buf []byte, i int) (int, string) {
	i, reason := f.row(buf, skipSpace(buf, i))
	switch {
	case reason != "":
		return i, reason
	case i == len(buf):
		return i, reasonEnd
	case buf[i] != ',' && buf[i] != ']':
		return i, reasonComma
	}
	return i, ""
}

// onlySpace refuses anything but white space from i to the end.
func onlySpace(buf []byte, i int) (int, string) {
	if i = skipSpace(buf, i); i < len(buf) {
		return i, reasonTrailing
	}
	return i, ""
}

// betweenTexts are the bytes after which a word, number or string may start.
var betweenTexts = []byte(" \t\r\n}]")

// ScanTexts reads JSON texts, each of which is a row. White space separates them; it may be
// missing next to an array or object. The last one ends in buf. The rules of Scan apply to them.
func (f *PathFinder) ScanTexts(buf []byte) error {
	f.start(true)
	i, reason := 0, ""
	if uint64(len(buf)) > maxInput {
		reason = reasonTooLong
	}
	for i = skipSpace(buf, i); i < len(buf) && reason == ""; {
		if c := buf[i]; c != '{' && c != '[' && i > 0 && bytes.IndexByte(betweenTexts, buf[i-1]) < 0 {
			reason = reasonTrailing
			break
		}
		f.shapes.seen = f.shapes.seen[:0]
		i, reason = f.row(buf, i)
	}
	f.Lines = bytes.Count(buf, []byte{'\n'})
	return f.end(buf, i, reason)
}

// Splitter finds where a JSON document may be cut: after the commas between the items of its
// array, or after each of its texts. It reads the document once, piece by piece, and examines
// only strings and brackets; a PathFinder then checks the text between two cuts.
type Splitter struct {
	array   bool
	depth   int
	str     bool // inside a string
	escaped bool // behind its backslash
	closed  bool
}

// NewSplitter returns a splitter of the text after the '[' of an array, or of JSON texts.
func NewSplitter(array bool) *Splitter { return &Splitter{array: array} }

// Closed reports whether the array has ended. Next does not examine the text after it.
func (s *Splitter) Closed() bool { return s.closed }

// Next reads the next piece and returns the offset of the last cut in it, or -1. The end of the
// array is not a cut.
func (s *Splitter) Next(p []byte) int {
	cut := -1
	for i := 0; i < len(p) && !s.closed; i++ {
		if s.str {
			if i = s.inString(p, i); i == len(p) {
				break
			}
		}
		switch p[i] {
		case '"':
			s.str = !s.str
		case '{', '[':
			s.depth++
		case '}', ']':
			if s.depth > 0 {
				s.depth--
			} else if s.array {
				s.closed = true
				continue
			}
			if s.depth == 0 && !s.array {
				cut = i + 1
			}
		case ',':
			if s.depth == 0 && s.array {
				cut = i + 1
			}
		}
	}
	return cut
}

// inString returns the position of the quote that ends the string at i, or len(p).
func (s *Splitter) inString(p []byte, i int) int {
	if s.escaped {
		s.escaped = false
		i++
	}
	for i < len(p) {
		switch i = plainRun(p, i); {
		case i == len(p) || p[i] == '"':
			return i
		case p[i] == '\\':
			if i += 2; i > len(p) {
				s.escaped = true
				return len(p)
			}
		default:
			for i < len(p) && (p[i] >= 0x80 || p[i] < 0x20) {
				i++
			}
		}
	}
	return i
}

package jsonfast

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// MaxPaths bounds the paths of a PathFinder, whose values name theirs in a byte.
const MaxPaths = 256

// NotString is a value that stands at a path and is no string, or that ends a path
// before its last name.
type NotString struct {
	Offset uint32 // of its first byte in the scanned buffer
	Path   uint8  // index of the path; if Short, the lowest of those that PathsAt returns
	Kind   byte   // 'n' null, 't' true, 'f' false, '0' number, '{' object, '"' string (Short only)
	Short  bool   // it stands where the path goes on, which only an object lets it
	node   uint16
}

// PathFinder finds the strings at given paths in lines of JSON (NDJSON). One
// goroutine at a time; the slices are reused by the next Scan, which therefore
// allocates nothing once they have grown.
type PathFinder struct {
	// Spans holds an offset and a length for every string found, in the order
	// of the buffer: the bytes between the quotes, escapes not undone.
	Spans []uint32
	// Path holds, for every string found, the index of its path.
	Path []uint8
	// Escaped holds the indexes of the strings with a backslash, ascending:
	// these need Unescape.
	Escaped []uint32
	// NotString holds what stands at a path and is neither a string nor an
	// array, and what stands on the way to a path and is neither an object nor an
	// array, in the order of the buffer. It takes no place in Spans.
	NotString []NotString
	// RowsWith holds, for every path, the number of rows that have an entry in
	// Spans or NotString for it. The others do not have the path, or nothing but
	// empty arrays at it.
	RowsWith []int
	// Hollow has the bits of the paths at which an empty array has stood, in this
	// scan or one before: path i is bit i%64 of Hollow[i/64].
	Hollow [4]uint64
	// Rows counts the lines that hold a value, Lines the '\n' of the buffer.
	Rows, Lines int

	nodes  []pathNode
	stack  []uint16 // pathNode of every open array or object; the top bit says object
	name   []byte   // scratch: a member name with its escapes undone
	shapes shapes   // of the lines up to here; they change nothing but the speed
	paths  finderPaths

	byShape int      // rows that were read by a known shape
	ends    []uint16 // the node at which each path ends
	stamp   []int    // the last row that was counted in RowsWith, by path
	repeats bool     // a path was met twice in the row that is being read
	items   bool     // rows are not lines: an LF says nothing of them
}

// pathNode is a place in the tree of the paths' member names. Node 0 is the
// top of a line, noNode every place that no path goes through.
type pathNode struct {
	names []string // members that paths go through
	next  []uint16 // and the node of each
	leaf  int16    // index of the path that ends here, or -1
	paths []uint8  // the path that ends here, or else those that go through
}

const (
	noNode   = 1<<15 - 1
	inObject = 1 << 15
)

// NewPathFinder prepares a finder of the strings at the given paths, 1 to 256
// of them, all different. A path names members from the top of a line
// downwards, joined by dots: "patient.id". A dot or a backslash within a name
// is written with a backslash before it. Names are compared byte by byte, upper
// and lower case apart, after the escapes of the text are undone. Arrays are gone
// through wherever they stand: "visits.codes" finds the strings of the array
// codes in every object of the array visits. A name that is given more than once
// in an object counts each time. What stands where one path ends and another goes
// on belongs to the one that ends.
func NewPathFinder(paths []string) (*PathFinder, error) {
	if len(paths) == 0 || len(paths) > MaxPaths {
		return nil, fmt.Errorf("json: %d paths given; give 1 to %d", len(paths), MaxPaths)
	}
	f := &PathFinder{nodes: []pathNode{{leaf: -1}}, stack: make([]uint16, maxDepth)}
	for k, path := range paths {
		names, err := splitPath(path)
		if err != nil {
			return nil, fmt.Errorf("json: path %d: %w", k+1, err)
		}
		if len(names) > maxDepth {
			return nil, fmt.Errorf("json: path %d goes deeper than %d levels", k+1, maxDepth)
		}
		at := uint16(0)
		for _, name := range names {
			next := f.child(at, name)
			if next == noNode {
				if len(f.nodes) == noNode {
					return nil, errors.New("json: paths have too many names together; give fewer")
				}
				next = uint16(len(f.nodes))
				f.nodes[at].names = append(f.nodes[at].names, name)
				f.nodes[at].next = append(f.nodes[at].next, next)
				f.nodes = append(f.nodes, pathNode{leaf: -1})
			}
			at = next
		}
		if f.nodes[at].leaf >= 0 {
			return nil, fmt.Errorf("json: path %d is the same as path %d", k+1, f.nodes[at].leaf+1)
		}
		f.nodes[at].leaf = int16(k)
		f.ends = append(f.ends, at)
	}
	f.spreadPaths(0)
	f.RowsWith, f.stamp = make([]int, len(paths)), make([]int, len(paths))
	return f, nil
}

// spreadPaths fills in paths of a node and of those below it, and returns all the
// paths that go through it or end there.
func (f *PathFinder) spreadPaths(at uint16) []uint8 {
	var all []uint8
	for _, next := range f.nodes[at].next {
		all = append(all, f.spreadPaths(next)...)
	}
	if leaf := f.nodes[at].leaf; leaf >= 0 {
		f.nodes[at].paths = []uint8{uint8(leaf)}
		return append(all, uint8(leaf))
	}
	slices.Sort(all)
	f.nodes[at].paths = all
	return all
}

// PathsAt returns the indexes of the paths for which a value of NotString stands:
// one, or with Short all those that would have gone on there. The slice is the
// finder's own.
func (f *PathFinder) PathsAt(n NotString) []uint8 { return f.nodes[n.node].paths }

// RowsByShape returns how many rows the finder has read by a known shape since it was
// made: tests see by it that they have met that way.
func (f *PathFinder) RowsByShape() int { return f.byShape }

// splitPath cuts a path at its dots.
func splitPath(path string) ([]string, error) {
	var names []string
	name := make([]byte, 0, len(path))
	for i := 0; ; i++ {
		switch {
		case i == len(path) || path[i] == '.':
			if len(name) == 0 {
				return nil, errors.New("empty name; join names by single dots, as in patient.id")
			}
			names = append(names, string(name))
			name = name[:0]
			if i == len(path) {
				return names, nil
			}
		case path[i] == '\\':
			if i++; i == len(path) || path[i] != '.' && path[i] != '\\' {
				return nil, errors.New("a backslash stands only before a dot or a backslash of a name")
			}
			name = append(name, path[i])
		default:
			name = append(name, path[i])
		}
	}
}

// child returns the node of a member of node at, or noNode.
func (f *PathFinder) child(at uint16, name string) uint16 {
	for k, n := range f.nodes[at].names {
		if n == name {
			return f.nodes[at].next[k]
		}
	}
	return noNode
}

// childRaw is child for a name as it stands in the text.
func (f *PathFinder) childRaw(at uint16, raw []byte, escaped bool) uint16 {
	if escaped {
		f.name = Unescape(f.name[:0], raw)
		raw = f.name
	}
	for k, n := range f.nodes[at].names {
		if n == string(raw) {
			return f.nodes[at].next[k]
		}
	}
	return noNode
}

// Scan reads whole lines, each one JSON text (RFC 8259 strict, with the rules
// of Array.Scan) or nothing but white space. A line ends with '\n', a '\r'
// before it is white space; the last line may end with the buffer. A byte
// order mark is refused: a caller who lets one pass scans what follows it.
//
// An error is a *SyntaxError with the line; the slices are empty then.
func (f *PathFinder) Scan(buf []byte) error {
	f.start(false)
	at, reason := f.scan(buf)
	return f.end(buf, at, reason)
}

// start empties the results; items says that rows are not lines.
func (f *PathFinder) start(items bool) {
	f.Spans, f.Path, f.Escaped, f.NotString = f.Spans[:0], f.Path[:0], f.Escaped[:0], f.NotString[:0]
	f.Rows, f.Lines = 0, 0
	clear(f.RowsWith)
	clear(f.stamp)
	if f.items != items { // what a line is has changed
		f.items, f.shapes = items, shapes{}
	}
}

// end makes the error of a scan, nil if there is no reason for one.
func (f *PathFinder) end(buf []byte, at int, reason string) error {
	if reason == "" {
		return nil
	}
	f.Spans, f.Path, f.Escaped, f.NotString = f.Spans[:0], f.Path[:0], f.Escaped[:0], f.NotString[:0]
	clear(f.RowsWith)
	return &SyntaxError{Offset: int64(at), Line: 1 + bytes.Count(buf[:min(at, len(buf))], []byte{'\n'}), Reason: reason}
}

// scan does the work of Scan. It returns the offset of the error and its
// reason, or the length of buf and "".
func (f *PathFinder) scan(buf []byte) (int, string) {
	if uint64(len(buf)) > maxInput {
		return 0, reasonTooLong
	}
	if at, reason := leadingMark(buf); reason != "" {
		return at, reason
	}
	i := 0
	plain := 0 // up to here line by line
	for i < len(buf) {
		if i >= plain {
			next := f.read(buf, i)
			if next < 0 { // there is an error; find it in the order of the text
				f.paths.refused++
				plain = len(buf)
				continue
			}
			if i = next; i == len(buf) {
				break
			}
		}
		end := bytes.IndexByte(buf[i:], '\n')
		if end < 0 {
			return f.line(buf, i)
		}
		end += i
		f.Lines++
		f.shapes.seen, f.shapes.odd, f.repeats = f.shapes.seen[:0], false, false
		rows := f.Rows
		if at, reason := f.line(buf[:end], i); reason != "" {
			return at, reason
		}
		if f.Rows > rows {
			f.paths.learned++
			f.shapes.learn(buf, i, end+1, f.repeats)
		}
		i = end + 1
	}
	return len(buf), ""
}

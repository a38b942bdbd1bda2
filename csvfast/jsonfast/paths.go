package jsonfast

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// MaxPaths is the largest number of paths of a PathFinder, which stores their indexes in bytes.
const MaxPaths = 256

// NotString is a value at a path that is not a string, or a value at the beginning of a path that
// is not an object.
type NotString struct {
	Offset uint32 // of its first byte in the scanned buffer
	Path   uint8  // index of the path; if Short, the lowest of those that PathsAt returns
	Kind   byte   // 'n' null, 't' true, 'f' false, '0' number, '{' object, '"' string (Short only)
	Short  bool   // the path continues below this value, which is not an object
	node   uint16
}

// PathFinder finds the strings at given paths in lines of JSON (NDJSON). One goroutine at a time
// uses it. Scan reuses the slices and therefore allocates nothing once they have grown.
type PathFinder struct {
	// Spans holds an offset and a length for every string found, in the order of the buffer: the
	// text between its quotes, with its escapes.
	Spans []uint32
	// Path holds, for every string found, the index of its path.
	Path []uint8
	// Escaped holds the indexes of the strings with a backslash, in ascending order; Unescape
	// returns their values.
	Escaped []uint32
	// NotString holds, in the order of the buffer, the values at a path that are neither strings
	// nor arrays, and the values at the beginning of a path that are neither objects nor arrays.
	// They have no entry in Spans.
	NotString []NotString
	// RowsWith holds, for every path, the number of rows that have an entry in Spans or NotString
	// for it. Other rows do not have the path, or have only empty arrays at it.
	RowsWith []int
	// Hollow is the set of paths at which this or an earlier scan found an empty array: path i is
	// bit i%64 of Hollow[i/64].
	Hollow [4]uint64
	// Rows counts the lines that hold a value, Lines the '\n' of the buffer.
	Rows, Lines int

	nodes  []pathNode
	stack  []uint16 // pathNode of every open array or object; the top bit marks an object
	name   []byte   // scratch: an unescaped member name
	shapes shapes   // of the lines read so far; they affect only the speed
	paths  finderPaths

	byShape int      // rows that were read by a known shape
	ends    []uint16 // the node at which each path ends
	stamp   []int    // the last row that was counted in RowsWith, by path
	repeats bool     // the current row has a path twice
	items   bool     // rows are items or texts, not lines
}

// pathNode is a node of the tree of the paths' member names. Node 0 is the top of a line; noNode
// stands for any member that no path contains.
type pathNode struct {
	names []string // members that paths contain
	next  []uint16 // the node of each
	leaf  int16    // index of the path that ends here, or -1
	paths []uint8  // the path that ends here, otherwise those that continue below
}

const (
	noNode   = 1<<15 - 1
	inObject = 1 << 15
)

// NewPathFinder returns a finder of the strings at the given paths, 1 to 256 different ones. A
// path consists of member names from the top of a line downwards, joined by dots: "patient.id".
// In a name a dot or a backslash is preceded by a backslash. Unescaped names are compared byte
// by byte, with case. A path continues through arrays at any level: "visits.codes" finds the
// strings of the array codes in every object of the array visits. A name that an object has more
// than once is found each time. A value at which one path ends and another continues belongs to
// the path that ends.
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

// spreadPaths sets paths of a node and of the nodes below, and returns all paths that end at the
// node or below.
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

// PathsAt returns the indexes of the paths that a value of NotString concerns: one, or with Short
// all paths that continue below it. The finder owns the slice.
func (f *PathFinder) PathsAt(n NotString) []uint8 { return f.nodes[n.node].paths }

// RowsByShape returns how many rows the finder has read by a known shape since it was made, so
// that tests can check that they reach that path.
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

// childRaw is child for the text of a name, which may be escaped.
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

// Scan reads whole lines, each one JSON text by the rules of this package or only white space. A
// line ends with '\n'; a '\r' before it is white space. The last line may end with the buffer. A
// byte order mark is refused; a caller that accepts one scans the bytes after it.
//
// An error is a *SyntaxError with the line, with which the slices are empty.
func (f *PathFinder) Scan(buf []byte) error {
	f.start(false)
	at, reason := f.scan(buf)
	return f.end(buf, at, reason)
}

// start empties the results. items states that rows are not lines.
func (f *PathFinder) start(items bool) {
	f.Spans, f.Path, f.Escaped, f.NotString = f.Spans[:0], f.Path[:0], f.Escaped[:0], f.NotString[:0]
	f.Rows, f.Lines = 0, 0
	clear(f.RowsWith)
	clear(f.stamp)
	if f.items != items { // the learned shapes end differently
		f.items, f.shapes = items, shapes{}
	}
}

// end returns the error of a scan, nil if reason is "".
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
	plain := 0 // up to this offset shapes are not used
	for i < len(buf) {
		if i >= plain {
			next := f.read(buf, i)
			if next < 0 { // there is an error: find the first one line by line
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

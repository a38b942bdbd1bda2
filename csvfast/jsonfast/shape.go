package jsonfast

import "bytes"

// Most files of JSON lines repeat a few shapes: the same member names in the same order with the
// same white space, and only the scalar values differ. A shape is learned from a line that the
// portable code has read and checked: the text before the first scalar, the text between it and
// the next, and so on up to the line feed. A line with the same texts, and a valid scalar
// between each two, is therefore valid and has its values at the same paths. Nothing else of it
// is checked:
//
//	node = first
//	for:
//	  while the text at p is not that of node: node = its alternative, or give up
//	  p += length of the text
//	  if node ends the line: count it, node = first
//	  if a value follows: p = end of the string, number or word at p
//	      (at another first byte: back to the alternatives)
//	      if a path ends here: write the position of the value
//	  node = next of node
//
// The texts of all shapes form a tree in which shapes that begin alike share nodes. In an array
// of scalars the comma's node leads back to the same alternatives, comma or end, so that one
// shape covers any number of items. The portable code reads a line at which the kernel gives up,
// and learns its shape.

// shapeNode is a text and what follows it. The kernels know its layout.
type shapeNode struct {
	text   [shapeText]byte
	mask   uint32 // the low length bits
	length uint32 // of text
	next   uint32 // byte offset of the next node, shapeSize times its index
	alt    uint32 // byte offset of the alternative node; 0: none
	kind   uint32 // shapeOn, shapeScalar or shapeEnd
	path   uint32 // index of the path that ends at the value, plus one; or shortPath plus the pathNode below which paths continue; 0: none
	_      [2]uint32
}

const (
	shapeText = 32 // longest text of a node
	shapeSize = 64 // bytes of a node

	shortPath = MaxPaths + 1 // above the number of any path plus one

	shapeOn     = 0 // the text continues in the next node
	shapeScalar = 1 // a string, number or word follows
	shapeEnd    = 2 // the line has ended

	shapeNodes   = 1024    // largest number of nodes: 64 KiB
	shapeAlts    = 24      // largest number of alternatives
	shapePadding = 128     // bytes behind a node's text that kernels may read
	shapeRoom    = 512     // values of one call
	shapeStale   = 100_000 // rows after which a full tree is dropped for newer shapes
	shapeTries   = 16      // calls in a row that read no line before a pause
	shapePause   = 64      // lines of the pause
)

// shapeValue is a value found at a path. The kernels know its layout.
type shapeValue struct {
	offset  uint32 // of the text between a string's quotes, or of another value
	length  uint32 // of the text between a string's quotes
	path    uint16 // that of the shapeNode
	kind    uint8  // first byte of the value
	escaped uint8  // 1: the string holds a backslash
	_       uint32
}

// shapeState is the result of a call: whole lines only. The kernels know its
// layout.
type shapeState struct {
	done   uint64 // bytes read
	rows   uint64 // lines read
	values uint64 // values written
	high   uint64 // not zero if a byte from 0x80 up may have been read
}

// shapes are the shapes that a PathFinder has learned. The zero value knows none.
type shapes struct {
	nodes   []shapeNode // nodes[0] is not used: offset 0 means none
	found   []shapeValue
	seen    []seenValue // scalars of the line that is being learned
	odd     bool        // that line cannot be learned
	many    bool        // a line of a known shape may have a path more than once
	rows    int         // rows read since the tree was empty
	failed  int         // calls in a row that read no line
	pause   int         // lines until the next call
	dropped int         // number of trees that were dropped
}

// seenValue is a scalar of a line, quotes included.
type seenValue struct {
	begin, end uint32
	path       uint32 // that of a shapeNode
}

// read reads lines of known shapes from i and returns the position of the first line that it
// cannot read, or -1 if the text that it has read is not UTF-8.
func (f *PathFinder) read(buf []byte, i int) int {
	s := &f.shapes
	for len(s.nodes) > 1 && len(buf)-i > 2*shapePadding {
		if s.pause > 0 {
			f.paths.pauses++
			s.pause--
			break
		}
		if s.found == nil {
			s.found = make([]shapeValue, shapeRoom)
		}
		var st shapeState
		readShapes(buf[i:], uint32(i), s.nodes, s.found, &st)
		if st.high != 0 {
			f.paths.validated++
			if !validUTF8(buf[i : i+int(st.done)]) {
				return -1
			}
		}
		counted := s.many
		if counted {
			f.countRows(buf, i, s.found[:st.values])
		}
		for k := range s.found[:st.values] {
			v := &s.found[k]
			if v.path >= shortPath {
				if v.kind == '"' {
					v.offset--
				}
				if !counted {
					for _, p := range f.nodes[v.path-shortPath].paths {
						f.RowsWith[p]++
					}
				}
				f.addOther(v.offset, v.path-shortPath, scalarKind(v.kind))
				continue
			}
			if !counted { // a row for each value
				f.RowsWith[v.path-1]++
			}
			if v.kind != '"' {
				f.addOther(v.offset, f.ends[v.path-1], scalarKind(v.kind))
				continue
			}
			if v.escaped != 0 {
				f.Escaped = append(f.Escaped, uint32(len(f.Path)))
			}
			f.Spans = append(f.Spans, v.offset, v.length)
			f.Path = append(f.Path, uint8(v.path-1))
		}
		f.Rows += int(st.rows)
		if !f.items {
			f.Lines += int(st.rows)
		}
		s.rows += int(st.rows)
		f.byShape += int(st.rows)
		i += int(st.done)
		if st.rows == 0 {
			f.paths.failed++
			if s.failed++; s.failed >= shapeTries {
				s.failed, s.pause = 0, shapePause
			}
			break
		}
		s.failed = 0
		f.paths.shaped++
		if st.values < shapeRoom/2 {
			break // not because found is full
		}
		f.paths.full++
	}
	return i
}

// countRows counts, for each path, the rows of the values that were found by shape from position
// i of the buffer on. A row may have several values at a path.
func (f *PathFinder) countRows(buf []byte, i int, found []shapeValue) {
	row := f.Rows + 1
	for k := range found {
		v := &found[k]
		row += bytes.Count(buf[i:v.offset], []byte{'\n'})
		i = int(v.offset)
		if v.path < shortPath {
			f.meet(f.ends[v.path-1], row)
		} else {
			f.meet(v.path-shortPath, row)
		}
	}
}

// learn adds the shape of the line buf[begin:end], which ends with a line feed, or of an array's
// item with its comma. Its scalars are in s.seen. repeats states that it has a path more than
// once.
func (s *shapes) learn(buf []byte, begin, end int, repeats bool) {
	if s.odd || len(s.seen) > 0 && int(s.seen[0].begin) == begin {
		return
	}
	if len(s.nodes) == 0 {
		s.nodes = make([]shapeNode, 1, shapeNodes)
	}
	if len(s.nodes)+len(s.seen) > shapeNodes {
		if s.rows < shapeStale {
			return
		}
		s.nodes, s.rows, s.many = s.nodes[:1], 0, false
		s.dropped++
		s.nodes[0].next = 0
	}
	s.many = s.many || repeats // before the first node is added: another shape may share the first nodes
	at := uint32(0)            // index of the node behind which the text is added
	for k, v := range s.seen {
		text := buf[begin:v.begin]
		begin = int(v.end)
		loop := k > 0 && len(bytes.Trim(text, ", \t\r")) == 0 // the next item of the same array
		before := at
		var ok bool
		if at, ok = s.add(at, text, shapeScalar, v.path); !ok {
			return
		}
		if loop && s.nodes[at].next == 0 {
			s.nodes[at].next = s.nodes[before].next
		}
	}
	s.add(at, buf[begin:end], shapeEnd, 0)
}

// add finds or adds a text after the node at and returns its last node.
func (s *shapes) add(at uint32, text []byte, kind, path uint32) (uint32, bool) {
	for len(text) > shapeText {
		var ok bool
		if at, ok = s.addNode(at, text[:shapeText], shapeOn, 0); !ok {
			return 0, false
		}
		text = text[shapeText:]
	}
	return s.addNode(at, text, kind, path)
}

func (s *shapes) addNode(at uint32, text []byte, kind, path uint32) (uint32, bool) {
	link := &s.nodes[at].next
	for n := 0; *link != 0; n++ {
		k := *link / shapeSize
		node := &s.nodes[k]
		if node.kind == kind && bytes.Equal(node.text[:node.length], text) {
			return k, true
		}
		if n == shapeAlts {
			return 0, false
		}
		link = &node.alt
	}
	if len(s.nodes) == shapeNodes {
		return 0, false
	}
	k := uint32(len(s.nodes))
	*link = k * shapeSize
	node := shapeNode{mask: uint32(1<<len(text) - 1), length: uint32(len(text)), kind: kind, path: path}
	copy(node.text[:], text)
	s.nodes = append(s.nodes, node) // never moves: its capacity is shapeNodes
	return k, true
}

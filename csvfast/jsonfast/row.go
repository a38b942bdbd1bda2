package jsonfast

// line reads the line from i to the end of buf and adds what it finds to the results.
func (f *PathFinder) line(buf []byte, i int) (int, string) {
	i = skipSpace(buf, i)
	if i == len(buf) {
		return i, ""
	}
	i, reason := f.row(buf, i)
	if reason == "" && i < len(buf) {
		reason = reasonTrailing
	}
	return i, reason
}

// row reads the value at i and the white space after it, and adds what it finds to the results.
// It is checkValue with the tree of the paths. It is one function of 85 lines, since it keeps its
// own stack in place of recursion.
func (f *PathFinder) row(buf []byte, i int) (int, string) {
	f.Rows++
	depth := 0
	node := uint16(0) // of the value that starts at i
	for {
		if i == len(buf) {
			return i, reasonEnd
		}
		var reason string
		switch c := buf[i]; c {
		case '"':
			end, escaped, reason := checkString(buf, i+1)
			if reason != "" {
				return end, reason
			}
			if node != noNode {
				f.found(i+1, end, node, escaped)
			}
			f.sawScalar(i, end+1, node)
			i = end + 1
		case '{', '[':
			if depth == maxDepth {
				return i, reasonDepth
			}
			if c == '{' && node != noNode && f.nodes[node].leaf >= 0 {
				f.foundOther(i, node, '{')
				f.shapes.odd = true
			}
			i = skipSpace(buf, i+1)
			if i < len(buf) && buf[i] == c+2 { // '}' and ']' stand two after their openings
				if c == '[' && node != noNode && f.nodes[node].leaf >= 0 {
					leaf := f.nodes[node].leaf
					f.Hollow[leaf>>6] |= 1 << (leaf & 63)
				}
				i++
				break
			}
			if c == '{' {
				f.stack[depth] = node | inObject
				if i, node, reason = f.member(buf, i, node); reason != "" {
					return i, reason
				}
			} else {
				f.stack[depth] = node
			}
			depth++
			continue
		default:
			begin := i
			if i, reason = checkScalar(buf, i); reason != "" {
				return i, reason
			}
			if node != noNode {
				f.foundOther(begin, node, scalarKind(c))
			}
			f.sawScalar(begin, i, node)
		}
		for {
			i = skipSpace(buf, i)
			if depth == 0 {
				return i, ""
			}
			if i == len(buf) {
				return i, reasonEnd
			}
			top := f.stack[depth-1]
			if buf[i] == ',' {
				i = skipSpace(buf, i+1)
				node = top &^ inObject
				if top&inObject != 0 {
					if i, node, reason = f.member(buf, i, node); reason != "" {
						return i, reason
					}
				}
				break
			}
			if top&inObject != 0 && buf[i] == '}' || top&inObject == 0 && buf[i] == ']' {
				i++
				depth--
				continue
			}
			return i, reasonComma
		}
	}
}

// member reads a member name at i and the ':' after it, and returns the
// position of the value and its node, given the node of the object.
func (f *PathFinder) member(buf []byte, i int, node uint16) (int, uint16, string) {
	if i == len(buf) {
		return i, node, reasonEnd
	}
	if buf[i] != '"' {
		return i, node, reasonKey
	}
	end, escaped, reason := checkString(buf, i+1)
	if reason != "" {
		return end, node, reason
	}
	if node != noNode {
		node = f.childRaw(node, buf[i+1:end], escaped)
	}
	i, reason = pastColon(buf, end+1)
	return i, node, reason
}

// found adds the string buf[begin:end] for the path that ends at node, or as a NotString for the
// paths that continue below node.
func (f *PathFinder) found(begin, end int, node uint16, escaped bool) {
	leaf := f.nodes[node].leaf
	if leaf < 0 {
		f.foundOther(begin-1, node, '"')
		return
	}
	f.meet(node, f.Rows)
	if escaped {
		f.Escaped = append(f.Escaped, uint32(len(f.Path)))
	}
	f.Spans = append(f.Spans, uint32(begin), uint32(end-begin))
	f.Path = append(f.Path, uint8(leaf))
}

// foundOther adds a value that is not a string, or a string below which paths continue.
func (f *PathFinder) foundOther(begin int, node uint16, kind byte) {
	f.meet(node, f.Rows)
	f.addOther(uint32(begin), node, kind)
}

func (f *PathFinder) addOther(begin uint32, node uint16, kind byte) {
	n := &f.nodes[node]
	f.NotString = append(f.NotString, NotString{Offset: begin, Path: n.paths[0], Kind: kind, Short: n.leaf < 0, node: node})
}

// meet counts the row, numbered from 1, for the paths of node.
func (f *PathFinder) meet(node uint16, row int) {
	for _, p := range f.nodes[node].paths {
		if f.stamp[p] == row {
			f.repeats = true
			continue
		}
		f.stamp[p] = row
		f.RowsWith[p]++
	}
}

// scalarKind is the Kind of a value that starts with c.
func scalarKind(c byte) byte {
	if c == '-' || isDigit(c) {
		return '0'
	}
	return c
}

// sawScalar records a scalar for the shape of the line.
func (f *PathFinder) sawScalar(begin, end int, node uint16) {
	s := &f.shapes
	if len(s.seen) == shapeNodes {
		s.odd = true
		return
	}
	path := uint32(0)
	if node != noNode {
		if leaf := f.nodes[node].leaf; leaf >= 0 {
			path = uint32(leaf) + 1
		} else {
			path = shortPath + uint32(node)
		}
	}
	s.seen = append(s.seen, seenValue{uint32(begin), uint32(end), path})
}

package jsonfast

// readShapesGeneric is the portable twin of the readShapes kernels. Like them it gives up
// shapePadding bytes before the end of p.
func readShapesGeneric(p []byte, base uint32, nodes []shapeNode, found []shapeValue, st *shapeState) {
	*st = shapeState{}
	values := 0
	i := 0
	at := nodes[0].next
	for {
		if len(p)-i < shapePadding {
			return
		}
		node := &nodes[at/shapeSize]
		if string(p[i:i+int(node.length)]) != string(node.text[:node.length]) {
			if at = node.alt; at == 0 {
				return
			}
			continue
		}
		i += int(node.length)
		switch node.kind {
		case shapeOn:
			at = node.next
			continue
		case shapeEnd:
			st.done, st.values = uint64(i), uint64(values)
			st.rows++
			at = nodes[0].next
			continue
		}
		begin, escaped := i, false
		c := p[i]
		if c == '"' {
			end, e, reason := checkString(p, i+1)
			if reason != "" {
				return
			}
			begin, escaped, i = begin+1, e, end+1
		} else {
			if c != '-' && !isDigit(c) && c != 't' && c != 'f' && c != 'n' {
				i -= int(node.length)
				if at = node.alt; at == 0 {
					return
				}
				continue
			}
			end, reason := checkScalar(p, i)
			if reason != "" {
				return
			}
			i = end
		}
		if node.path != 0 {
			if values == len(found) {
				return
			}
			v := shapeValue{offset: base + uint32(begin), path: uint16(node.path), kind: c}
			if c == '"' {
				v.length = uint32(i - 1 - begin)
			}
			if escaped {
				v.escaped = 1
			}
			found[values] = v
			values++
		}
		at = node.next
		if at == 0 {
			return
		}
	}
}

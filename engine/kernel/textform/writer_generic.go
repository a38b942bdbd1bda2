package textform

// AppendRows appends the rows of whole blocks to dst, whose capacity must fit them, in portable Go.
func (w *Writer) AppendRows(dst, blocks []byte) []byte {
	pairs, first := &pairs62, &first62[w.gen]
	switch w.form {
	case Pair62:
	case Hex:
		pairs, first = &pairs16, &first16
	default:
		for ; len(blocks) >= 16; blocks = blocks[16:] {
			dst = w.append(dst, (*[16]byte)(blocks))
		}
		return dst
	}
	n := len(dst)
	dst = dst[:n+len(blocks)/16*w.stride]
	rest, pre, post := dst[n:], w.pre, w.post
	for len(blocks) >= 16 {
		for i := range len(pre) {
			rest[i] = pre[i]
		}
		text := (*[32]byte)(rest[len(pre):])
		encode16(text, (*[16]byte)(blocks), pairs)
		text[0] = first[blocks[0]]
		rest = rest[len(pre)+32:]
		for i := range len(post) {
			rest[i] = post[i]
		}
		rest, blocks = rest[len(post):], blocks[16:]
	}
	return dst
}

// append appends the row of a block to dst.
func (w *Writer) append(dst []byte, block *[16]byte) []byte {
	n := len(dst)
	dst = dst[:n+w.stride]
	row := dst[n:]
	for i := range len(w.pre) {
		row[i] = w.pre[i]
	}
	text := row[len(w.pre):]
	w.EncodeBlock(text[:w.chars], block)
	text = text[w.chars:]
	for i := range len(w.post) {
		text[i] = w.post[i]
	}
	return dst
}

// EncodeBlock writes the text of a block to text, which must have Chars bytes.
func (w *Writer) EncodeBlock(text []byte, block *[16]byte) {
	switch w.form {
	case Pair62:
		d := (*[32]byte)(text)
		encode16(d, block, &pairs62)
		d[0] = first62[w.gen][block[0]]
	case Hex:
		encode16((*[32]byte)(text), block, &pairs16)
	case UUID:
		var x [32]byte
		encode16(&x, block, &pairs16)
		t := (*[36]byte)(text)
		*(*[8]byte)(t[:]) = *(*[8]byte)(x[:])
		*(*[4]byte)(t[9:]) = *(*[4]byte)(x[8:])
		*(*[4]byte)(t[14:]) = *(*[4]byte)(x[12:])
		*(*[4]byte)(t[19:]) = *(*[4]byte)(x[16:])
		*(*[12]byte)(t[24:]) = *(*[12]byte)(x[20:])
		t[8], t[13], t[18], t[23] = '-', '-', '-', '-'
	default:
		w.form.Encode(text, block[:], w.gen)
	}
}

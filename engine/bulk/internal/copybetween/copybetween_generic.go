package copybetween

// textGeneric is Text in portable Go.
func textGeneric(dst, src []byte, spans, at []uint32, outLen *OutLen, from, to int) (done, nextFrom, nextTo int) {
	for i := range at {
		off, n := int(spans[2*i]), spans[2*i+1]
		if n >= LongValue {
			return i, from, to
		}
		to += copy(dst[to:], src[from:off])
		at[i] = uint32(to)
		from = off + int(n)
		to += int(outLen[n])
	}
	return len(at), from, to
}

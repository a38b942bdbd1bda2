package kernel

// GapLens is the length of a value from which Gaps leaves it to its caller.
const GapLens = 64

// Gaps copies the text between values to where it stands once the values are replaced
// by results, and leaves room for those. It is done with src[:from] and dst[:to] before;
// spans are off, len pairs of values in src, ascending; the result of a value of n
// bytes takes lens[n]. Where each result goes is written to at.
//
// It returns how many values are done and from and to behind the last of them, and
// stops before a value of GapLens bytes or more. What dst holds behind to is undefined.
// Copying is faster where src has 64 bytes of capacity behind its end, and dst of length.
func Gaps(dst, src []byte, spans, at []uint32, lens *[GapLens]uint32, from, to int) (done, nextFrom, nextTo int) {
	if done, from, to = gapsLanes(dst, src, spans, at, lens, from, to); done > 0 {
		ran(pathGaps)
	}
	for i := done; i < len(at); i++ {
		off, n := int(spans[2*i]), spans[2*i+1]
		if n >= GapLens {
			return i, from, to
		}
		to += copy(dst[to:], src[from:off])
		at[i] = uint32(to)
		from = off + int(n)
		to += int(lens[n])
	}
	return len(at), from, to
}

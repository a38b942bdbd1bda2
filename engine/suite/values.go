package suite

// Append adds a value at the end of Src. To reuse a batch, the caller empties it first:
// b.Src, b.Spans, b.Dst = b.Src[:0], b.Spans[:0], b.Dst[:0].
func (b *Batch) Append(value string) {
	b.Spans = append(b.Spans, uint32(len(b.Src)), uint32(len(value)))
	b.Src = append(b.Src, value...)
}

// Result returns the result of value i of the last Transform. It aliases Dst. It is empty
// for empty values and for those in Bad.
func (b *Batch) Result(i int) []byte { return b.Dst[b.Out[2*i]:][:b.Out[2*i+1]] }

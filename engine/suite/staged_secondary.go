package suite

// stagedSecondary translates the values from to to, at most stageSize, in two steps through
// memory that Transform wipes.
func (p *Plan) stagedSecondary(b *Batch, from, to int) {
	w := &b.work
	if w.halves == nil {
		w.halves = new([2]Batch)
	}
	r, f := &w.halves[0], &w.halves[1]
	n := to - from
	w.paths.twoSteps++
	r.Src, r.Spans, r.Dst, r.Bad = b.Src, b.Spans[2*from:2*to], r.Dst[:0], r.Bad[:0]
	r.Out = resized(r.Out, 2*n)
	p.halves[0].run(r, 0, n)
	f.Src, f.Spans, f.Pre, f.Post, f.Doc = r.Dst, r.Out, b.Pre, b.Post, b.Doc
	f.Dst, f.Out, f.Bad, f.At = b.Dst, b.Out[2*from:2*to], f.Bad[:0], nil
	if b.At != nil {
		f.At = b.At[from:to]
	}
	p.halves[1].run(f, 0, n)
	b.Dst = f.Dst
	// A value is bad in at most one step: values that are bad in the first are empty in
	// the second.
	i, j := 0, 0
	for i < len(r.Bad) || j < len(f.Bad) {
		if j == len(f.Bad) || i < len(r.Bad) && r.Bad[i].Index < f.Bad[j].Index {
			b.Bad = append(b.Bad, ValueError{from + r.Bad[i].Index, NotAPseudonym})
			i++
		} else {
			b.Bad = append(b.Bad, ValueError{from + f.Bad[j].Index, f.Bad[j].Code})
			j++
		}
	}
	r.Src, r.Spans, f.Src, f.Spans, f.Dst, f.Out, f.At, f.Doc = nil, nil, nil, nil, nil, nil, nil, nil
}

package suite

// stagedReverse reverses the values from to to, at most stageSize: it groups them by their
// number of blocks, decodes them, deciphers each group in one call, and writes the results
// in order. portable does the values that it cannot group or open.
func (p *Plan) stagedReverse(b *Batch, from, to int) {
	r, s := &p.reverse, &b.work.stage
	n := to - from
	b.work.paths.stagedReverse++
	s.m, s.at = resized(s.m, n), resized(s.at, n)
	gen := -1
	for i := from; i < to && gen < 0; i++ {
		gen = r.firstGen(b, i)
	}
	var count [maxStaged + 1]int // values by blocks; 0: portable
	for i := range n {
		j := from + i
		x := b.Src[b.Spans[2*j]:][:b.Spans[2*j+1]]
		c := r.form.DecodedLen(len(x))
		s.m[i] = 0
		if len(x) > 0 && r.lengthOK(c) && c%16 == 0 && c/16 <= maxStaged && gen >= 0 && (!r.form.Marked() || r.form.Mark(x) == gen) {
			s.m[i] = uint16(c / 16)
		}
		count[s.m[i]]++
	}
	var next [maxStaged + 1]int // bytes
	size := 0
	for m := 1; m <= maxStaged; m++ {
		next[m] = size
		size += 16 * m * count[m]
	}
	s.arena = resized(s.arena, size)
	for i := range n {
		m := int(s.m[i])
		if m == 0 {
			continue
		}
		j := from + i
		x := b.Src[b.Spans[2*j]:][:b.Spans[2*j+1]]
		s.at[i] = uint32(next[m])
		if _, ok := r.form.Decode(s.arena[next[m]:][:16*m], x); !ok {
			s.m[i] = 0
		}
		next[m] += 16 * m
	}
	begin := 0
	for m := 1; m <= maxStaged; m++ {
		if count[m] > 0 {
			end := begin + 16*m*count[m]
			b.work.paths.deciphered++
			r.ciphers[gen].CryptBlocks(m, s.arena[begin:end], true)
			begin = end
		}
	}
	for i := range n {
		j := from + i
		if m := int(s.m[i]); m > 0 {
			msg := s.arena[s.at[i]:][:16*m]
			if l, ok := r.open(msg); ok {
				b.Dst = append(b.Dst, b.Pre...)
				b.set(j, len(b.Dst), l, 0)
				b.Dst = append(append(b.Dst, msg[r.prefix:][:l]...), b.Post...)
				continue
			}
		}
		b.work.paths.single++
		p.portable(b, j, j+1)
	}
}

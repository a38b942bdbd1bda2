package token

// walk recognises a token that goes through numbers in order, as someone does
// who wants the pseudonym of every possible identifier: values that are decimal
// numbers at one small distance from each other, up or down. It keeps the last
// number, the distance and the length of the run, and nothing else, until the
// token is forgotten.
type walk struct {
	last uint64
	step int64 // 0: none yet
	run  int64 // values in the run
	told bool  // this run was counted
}

const (
	walkLength = 1000 // values of a run that is reported
	walkStep   = 1000 // largest distance
	walkSample = 16   // values at the front of a batch that are looked at
)

// Watch shows the values of a request, in the arena and spans form of package
// suite, to the detector of number walks. It reports whether a run has just
// passed 1,000 values, which it does once a run and [Stats] counts. It looks at
// the first values of a batch and the last one, and takes the rest for granted
// when they fit, so its cost does not grow with the batch. Shuffled walks
// escape it: it is an alarm, not a defence.
func (g *Grant) Watch(arena []byte, spans []uint32) bool {
	l := g.book
	if l == nil || len(spans) < 2 {
		return false
	}
	value := func(i int) (uint64, bool) { return number(arena[spans[2*i]:][:spans[2*i+1]]) }
	// Most values are no numbers: one look at the first, outside the lock.
	first, ok := value(0)
	if !ok {
		return false
	}
	n := len(spans) / 2
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &l.walk
	w.add(first)
	front := min(n, walkSample)
	for i := 1; i < front; i++ {
		d, ok := value(i)
		if !ok {
			*w = walk{}
			return false
		}
		w.add(d)
		if w.run <= int64(i) && n > front { // broken in this batch: the rest cannot fit
			front = i + 1
		}
	}
	if rest := n - front; rest > 0 {
		d, ok := value(n - 1)
		switch {
		case ok && w.step != 0 && w.run >= int64(front) && d == w.last+uint64(w.step)*uint64(rest):
			w.last = d
			w.run += int64(rest)
		case ok:
			*w = walk{last: d, run: 1}
		default:
			*w = walk{}
		}
	}
	if w.told || w.run < walkLength {
		return false
	}
	w.told = true
	g.v.alarms.Add(1)
	return true
}

// add takes one number. Distances are counted modulo 2^64, which harms nothing
// where only small ones matter.
func (w *walk) add(d uint64) {
	step := int64(d - w.last)
	small := step != 0 && step >= -walkStep && step <= walkStep
	switch {
	case w.run > 0 && small && step == w.step:
		w.run++
	case w.run > 0 && small:
		w.step, w.run, w.told = step, 2, false
	default:
		w.step, w.run, w.told = 0, 1, false
	}
	w.last = d
}

// number reads 1 to 18 decimal digits.
func number(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

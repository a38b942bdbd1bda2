package token

// enumerationGuard detects a token that enumerates decimal numbers at one small
// distance from each other, up or down, as someone does who wants the pseudonym of
// every possible identifier. It keeps the last number, the distance and the length of
// the run, for as long as the token's budget is kept.
type enumerationGuard struct {
	last uint64
	step int64 // 0: none yet
	run  int64 // values in the run
	told bool  // this run has been reported
}

const (
	enumerationLength = 1000 // values of a run that is reported
	enumerationStep   = 1000 // largest distance
	enumerationSample = 16   // values at the front of a batch that are looked at
)

// Observe shows the values of a request, in the arena and spans form of package
// suite, to the enumeration guard. It reports whether a run has just
// passed 1,000 values, which it does once a run and [Stats] counts. It looks at
// the first values of a batch and the last one, and takes the rest for granted
// when they fit, so its cost does not grow with the batch. Shuffled walks
// escape it: it is an alarm, not a defence.
func (g *Grant) Observe(arena []byte, spans []uint32) bool {
	b := g.budget
	if b == nil || len(spans) < 2 {
		return false
	}
	value := func(i int) (uint64, bool) { return number(arena[spans[2*i]:][:spans[2*i+1]]) }
	// Most values are no numbers: one look at the first, outside the lock.
	first, ok := value(0)
	if !ok {
		return false
	}
	n := len(spans) / 2
	b.mu.Lock()
	defer b.mu.Unlock()
	e := &b.guard
	e.add(first)
	front := min(n, enumerationSample)
	for i := 1; i < front; i++ {
		d, ok := value(i)
		if !ok {
			*e = enumerationGuard{}
			return false
		}
		e.add(d)
		if e.run <= int64(i) && n > front { // broken in this batch: the rest cannot fit
			front = i + 1
		}
	}
	if rest := n - front; rest > 0 {
		d, ok := value(n - 1)
		switch {
		case ok && e.step != 0 && e.run >= int64(front) && d == e.last+uint64(e.step)*uint64(rest):
			e.last = d
			e.run += int64(rest)
		case ok:
			*e = enumerationGuard{last: d, run: 1}
		default:
			*e = enumerationGuard{}
		}
	}
	if e.told || e.run < enumerationLength {
		return false
	}
	e.told = true
	g.v.enumerations.Add(1)
	return true
}

// add takes one number. Distances are counted modulo 2^64, which harms nothing
// where only small ones matter.
func (e *enumerationGuard) add(d uint64) {
	step := int64(d - e.last)
	small := step != 0 && step >= -enumerationStep && step <= enumerationStep
	switch {
	case e.run > 0 && small && step == e.step:
		e.run++
	case e.run > 0 && small:
		e.step, e.run, e.told = step, 2, false
	default:
		e.step, e.run, e.told = 0, 1, false
	}
	e.last = d
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

package token

// enumerationGuard detects a token whose values are decimal numbers at one small
// constant distance, as of a caller who enumerates all identifiers. It keeps the last
// number, the distance and the length of the run.
type enumerationGuard struct {
	last     uint64
	step     int64 // 0: unknown
	run      int64 // values in the run
	reported bool
}

const (
	enumerationLength = 1000 // shortest run that is reported
	enumerationStep   = 1000 // largest distance
	enumerationSample = 16   // values inspected at the front of a batch
)

// Observe passes the values of a request, in the arena and spans form of package suite,
// to the enumeration guard. It reports true once for each run of 1,000 values, which
// [Stats] counts. It inspects the first values of a batch and the last, and assumes the
// run in between if the last one fits, so its cost does not grow with the batch. It is
// an alarm, not a defence: a shuffled enumeration escapes it.
func (g *Grant) Observe(arena []byte, spans []uint32) bool {
	b := g.budget
	if b == nil || len(spans) < 2 {
		return false
	}
	value := func(i int) (uint64, bool) { return number(arena[spans[2*i]:][:spans[2*i+1]]) }
	// Most values are not numbers: the first one is parsed before locking.
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
		if e.run <= int64(i) && n > front { // the run broke in this batch: its rest cannot continue it
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
	if e.reported || e.run < enumerationLength {
		return false
	}
	e.reported = true
	g.v.enumerations.Add(1)
	return true
}

// add extends the run by d or starts another. Distances wrap modulo 2^64; only small
// ones count.
func (e *enumerationGuard) add(d uint64) {
	step := int64(d - e.last)
	small := step != 0 && step >= -enumerationStep && step <= enumerationStep
	switch {
	case e.run > 0 && small && step == e.step:
		e.run++
	case e.run > 0 && small:
		e.step, e.run, e.reported = step, 2, false
	default:
		e.step, e.run, e.reported = 0, 1, false
	}
	e.last = d
}

// number parses 1 to 18 decimal digits.
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

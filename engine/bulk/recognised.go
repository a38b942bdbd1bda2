package bulk

import (
	"bytes"
)

// Input that already holds pseudonyms of the key domain of the run is usually the output of
// an earlier run. The first values of each column in each chunk are therefore checked.

// sampleValues is the number of values checked for each column of a chunk.
const sampleValues = 64

// minKnown is the number of pseudonyms in a sample that cannot be chance. In a smaller
// sample half of the values suffice.
const minKnown = 3

// known returns how many of the first values are pseudonyms of the group's own domain and
// how many non-empty values it checked. It returns 0 pseudonyms if there are so few that
// they may be chance.
func (g *group) known(src []byte, spans []uint32) (known, sampled int) {
	spans = spans[:min(len(spans), 2*sampleValues)]
	known = g.plan.Recognise(src, spans)
	if known == 0 {
		return 0, 0
	}
	for i := 1; i < len(spans); i += 2 {
		if spans[i] > 0 {
			sampled++
		}
	}
	if known < minKnown && 2*known < sampled {
		return 0, sampled
	}
	return known, sampled
}

// looksForOwn reports whether the group's values must be checked for pseudonyms.
func (g *group) looksForOwn() bool { return g.plan != nil && !g.pseudonyms }

// pseudonymised checks the gathered values for pseudonyms. It returns false if they end the
// run, with c.err set.
func (s *splicer) pseudonymised(c *chunk) bool {
	for gi, g := range s.groups {
		if !g.looksForOwn() {
			continue
		}
		for col := range s.owner {
			if s.owner[col] != gi {
				continue
			}
			spans, first := g.batch.Spans, 0
			if len(s.owner) > 1 {
				spans, first = s.columnSample(gi, col)
			}
			known, sampled := g.known(g.batch.Src, spans)
			switch {
			case known == 0:
			case s.again:
				c.tally.Known += int64(known)
				c.tally.Sampled += int64(sampled)
			default:
				line := 1 + int64(bytes.Count(s.data[:s.spans[2*first]], lf))
				c.err = &Error{Line: line, Column: s.names[col], Err: &PseudonymsError{known, sampled}}
				return false
			}
		}
	}
	return true
}

// columnSample returns the first values of a column of a group, and the number of
// the first of them in the chunk.
func (s *splicer) columnSample(group, col int) (spans []uint32, first int) {
	spans, first = s.sample[:0], -1
	g := s.groups[group]
	at := 0 // index among the group's values
	for v := 0; v < len(s.spans)/2 && v < sampleValues*len(s.owner)*4 && len(spans) < 2*sampleValues; v++ {
		c := s.column(v)
		if s.owner[c] != group {
			continue
		}
		if c == col {
			if first < 0 {
				first = v
			}
			spans = append(spans, g.batch.Spans[2*at], g.batch.Spans[2*at+1])
		}
		at++
	}
	s.sample = spans
	return spans, max(first, 0)
}

// warnKnown warns of an input that was pseudonymised already.
func (r *run) warnKnown(name string, t tally) {
	if t.Known > 0 {
		r.warn("%s: pseudonymised once more: %d of %d values that were looked at are pseudonyms of this project already", name, t.Known, t.Sampled)
	}
}

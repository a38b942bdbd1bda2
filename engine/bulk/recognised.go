package bulk

import (
	"bytes"
)

// Input that holds pseudonyms already, of the very key domain that it is about to be
// pseudonymised under, is most often the output of a run before. The first values of
// every chunk and column are looked at.

// sampledValues is how many values of a column are looked at in a chunk.
const sampledValues = 64

// enoughKnown is how many pseudonyms in one sample are no chance; of a smaller sample
// a half of it is enough.
const enoughKnown = 3

// known counts the pseudonyms of the group's own domain among the first values of
// spans over src, and how many were looked at that are not empty. No pseudonyms are
// reported where so few may be so by chance.
func (g *group) known(src []byte, spans []uint32) (known, sampled int) {
	spans = spans[:min(len(spans), 2*sampledValues)]
	known = g.plan.Recognise(src, spans)
	if known == 0 {
		return 0, 0
	}
	for i := 1; i < len(spans); i += 2 {
		if spans[i] > 0 {
			sampled++
		}
	}
	if known < enoughKnown && 2*known < sampled {
		return 0, sampled
	}
	return known, sampled
}

// looksForOwn says whether the group's values may be pseudonyms by mistake.
func (g *group) looksForOwn() bool { return g.plan != nil && !g.pseudonyms }

// pseudonymised looks for pseudonyms among the gathered values. It returns false
// where they end the run.
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
	at := 0 // of the group's values
	for v := 0; v < len(s.spans)/2 && v < sampledValues*len(s.owner)*4 && len(spans) < 2*sampledValues; v++ {
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

// warnKnown tells how much of an input was pseudonymised already.
func (r *run) warnKnown(name string, t tally) {
	if t.Known > 0 {
		r.warn("%s: pseudonymised once more: %d of %d values that were looked at are pseudonyms of this project already", name, t.Known, t.Sampled)
	}
}

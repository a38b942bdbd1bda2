package bulk

import (
	"fmt"
	"strings"

	"github.com/velonym/velonym/engine/spec"
)

// retyped is a column whose type in the output is another than in the input.
type retyped struct {
	Was     string // type of a column that becomes strings
	Number  bool   // it was one of numbers
	Hex     bool   // it was one of bytes, whose hexadecimal digits were transformed
	Becomes string // type that a column of strings gets back

	digits  bool // pseudonyms are of decimal digits
	forward bool // the file remembers the type
}

// decimalDigits is the alphabet of the form digits.
const decimalDigits = "0123456789"

// String says what became of the column and why, for a summary.
func (t retyped) String() string {
	if t.Becomes != "" {
		return "is of type " + t.Becomes + " again"
	}
	s := fmt.Sprintf("was of type %s and is one of strings", t.Was)
	switch {
	case t.Number && t.digits:
		s += ": a pseudonym of digits may begin with zeros, which a number does not keep"
	case t.Number:
		s += ": a pseudonym is no number"
	case t.Hex:
		s += ": what was transformed is the hexadecimal text of its bytes"
	}
	if t.forward {
		s += "; the file remembers the type, and a reverse run gives it back"
	}
	return s
}

// typeChanged notes in the summary that a column of the job has another type in an output.
func (r *run) typeChanged(job int, t retyped) {
	r.needColumns()
	c := &r.sum.Columns[job]
	if note := t.String(); !strings.Contains(c.Type, note) {
		if c.Type != "" {
			c.Type += "; "
		}
		c.Type += note
	}
}

// op returns what becomes of a column's values. A server whose token does not tell
// pseudonymises.
func (c *Column) op() spec.Op {
	if c.Plan != nil {
		return c.Plan.Op()
	}
	return spec.Op(c.Remote.client.Op())
}

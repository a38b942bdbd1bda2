package bulk

import (
	"fmt"
	"strings"

	"github.com/velonym/velonym/engine/bulk/internal/typed"
	"github.com/velonym/velonym/engine/spec"
)

// retyped describes a column whose type in the output differs from that in the input.
type retyped struct {
	Was     string // type of a column that becomes strings
	Number  bool   // Was is a type of numbers
	Hex     bool   // Was is a type of bytes, whose hexadecimal digits were transformed
	Becomes string // type that a column of strings gets back

	digits  bool // pseudonyms consist of decimal digits
	forward bool // the output's metadata records the type, for the way back
}

// decimalDigits is the alphabet of the form digits.
const decimalDigits = "0123456789"

// String says what became of the column and why, for a summary.
func (t retyped) String() string {
	switch {
	case t.Becomes != "":
		return "is of type " + t.Becomes + " again"
	case t.Was == "":
		return "was encoded with a dictionary and is one of plain values: its values were transformed one by one"
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

// change returns what happens to the values of the column.
func (c *replacedColumn) change() typed.Change {
	job := c.Columns[c.job]
	switch op := job.op(); {
	case op == spec.Secondary:
		return typed.Translate
	case op == spec.Reverse && c.Numbers == NumbersText:
		return typed.Reverse
	case op == spec.Reverse:
		return typed.Restore
	}
	return typed.Pseudonymise
}

// reportEffect warns of annotations and schemas that the output loses, and notes a change
// of the column's type in the summary.
func (c *replacedColumn) reportEffect(e typed.Effect) {
	if e.Annotation != "" {
		c.warn("%s: column %s was annotated as %s; in the output it is a plain string (UTF-8)", c.src.name, quoteName(c.name), e.Annotation)
	}
	for _, key := range e.Dropped {
		c.warn("%s: column %s has another type in the output, and the schema that another system kept in the file's metadata (%s) is left out", c.src.name, quoteName(c.name), key)
	}
	if e.Was != "" || e.Decoded {
		p := c.Columns[c.job].Plan
		c.typeChanged(c.job, retyped{Was: e.Was, Number: e.Number, Hex: e.Hex,
			digits: p != nil && p.Alphabet() == decimalDigits, forward: c.change() == typed.Pseudonymise})
	}
	if e.Becomes != "" {
		c.typeChanged(c.job, retyped{Becomes: e.Becomes})
	}
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

// op returns the operation on a column's values. A server whose token does not state one is
// taken to pseudonymise.
func (c *Column) op() spec.Op {
	if c.Plan != nil {
		return c.Plan.Op()
	}
	return spec.Op(c.Remote.client.Op())
}

package bulk

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/velonym/velonym/engine/bulk/parquet"
	"github.com/velonym/velonym/engine/spec"
)

// choose finds the columns of the job in the file and has them replaced.
func (p *parquetRun) choose() error {
	return p.eachColumn(p.src, &p.tally, p.file.Columns(), func(at int, c *replacedColumn) error {
		job := p.Columns[c.job]
		effect, err := p.file.Replace(at, &parquetColumn{c}, p.change(job))
		if err != nil {
			return p.failed(err)
		}
		p.tellEffect(c.job, c.name, job, effect)
		return nil
	})
}

// change says what becomes of the values of a column.
func (p *parquetRun) change(c Column) parquet.Change {
	switch op := c.op(); {
	case op == spec.Secondary:
		return parquet.Translate
	case op == spec.Reverse && p.Numbers == NumbersText:
		return parquet.Reverse
	case op == spec.Reverse:
		return parquet.Restore
	}
	return parquet.Pseudonymise
}

// tellEffect warns of what an output's schema can no longer say, and notes in the
// summary which type a column has and why.
func (p *parquetRun) tellEffect(job int, name string, c Column, e parquet.Effect) {
	if e.Annotation != "" {
		p.warn("%s: column %s was annotated as %s; in the output it is a plain string (UTF-8)", p.src.name, quoteName(name), e.Annotation)
	}
	for _, key := range e.Dropped {
		p.warn("%s: column %s has another type in the output, and the schema that another system kept in the file's metadata (%s) is left out", p.src.name, quoteName(name), key)
	}
	if e.Was != "" {
		p.typeChanged(job, retyped{Was: e.Was, Number: e.Number, Hex: e.Hex, digits: c.Plan != nil && c.Plan.Alphabet() == decimalDigits, forward: p.change(c) == parquet.Pseudonymise})
	}
	if e.Becomes != "" {
		p.typeChanged(job, retyped{Becomes: e.Becomes})
	}
}

// findColumn returns the column of values that c means: by number in the order of the schema, by its
// dotted name, by that of a group or list with no other leaf in it, or, where no
// column has the name and it is a number, by that. What could mean two is refused.
func (r *run) findColumn(file string, c Column, names []string) (int, error) {
	if c.Number > 0 {
		if c.Number > len(names) {
			return 0, damagedf(file, "no column #%d; there are %d", c.Number, len(names))
		}
		return c.Number - 1, nil
	}
	var same, below []int
	for i, name := range names {
		switch {
		case name == c.Name:
			same = append(same, i)
		case strings.HasPrefix(name, c.Name+"."):
			below = append(below, i)
		}
	}
	number, err := strconv.Atoi(c.Name)
	if err != nil || strconv.Itoa(number) != c.Name || number < 1 {
		number = 0
	}
	found := same
	if len(found) == 0 {
		found = below
	}
	switch {
	case len(same) > 1:
		return 0, damagedf(file, "column %s is there %d times; give its number: %s", quoteName(c.Name), len(same), numbers(same))
	case len(found) > 1:
		var in []string
		for _, i := range found {
			in = append(in, names[i])
		}
		return 0, damagedf(file, "column %s holds several; name one of %s", quoteName(c.Name), listNames(in))
	case len(found) == 1:
		if number > 0 && number <= len(names) && number-1 != found[0] {
			return 0, damagedf(file, "column %s: that is the name of one and the number of another; write #%d for the one of that name, #%d for the other, %s",
				quoteName(c.Name), found[0]+1, number, quoteName(names[number-1]))
		}
		return found[0], nil
	case number > len(names):
		return 0, damagedf(file, "no column %s; there are %d", quoteName(c.Name), len(names))
	case number > 0:
		return number - 1, nil
	}
	return 0, damagedf(file, "no column %s; there are %s", quoteName(c.Name), listNames(names))
}

// numbers lists columns by number.
func numbers(at []int) string {
	var s []string
	for _, i := range at {
		s = append(s, fmt.Sprintf("#%d", i+1))
	}
	return strings.Join(s, ", ")
}

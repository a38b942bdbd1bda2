package bulk

import (
	"fmt"
	"strconv"
	"strings"
)

// choose finds the columns of the job in the file and registers their replacers.
func (p *parquetRun) choose() error {
	return p.eachColumn(p.src, &p.tally, p.file.Columns(), func(at int, c *replacedColumn) error {
		effect, err := p.file.Replace(at, &parquetColumn{c}, c.change())
		if err != nil {
			return p.failed(err)
		}
		c.reportEffect(effect)
		return nil
	})
}

// findColumn returns the index of the leaf column that c chooses: by its number in the order
// of the schema, by its dotted name, by the name of a group or list with no other leaf in
// it, or by a name that is a number if no column has that name. It refuses what could mean
// two columns.
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

// numbers lists columns by their numbers, for an error.
func numbers(at []int) string {
	var s []string
	for _, i := range at {
		s = append(s, fmt.Sprintf("#%d", i+1))
	}
	return strings.Join(s, ", ")
}

package bulk

import (
	"bytes"
	"slices"
	"strings"

	"github.com/velonym/velonym/csvfast"
)

// separators are those that a file may be found to have, in the order in which messages
// list them.
var separators = []byte{',', ';', '\t', '|'}

// FirstRowsError is a file in whose first rows the separator cannot be found.
// Job.Comma states it.
type FirstRowsError struct {
	File       string
	Separators []byte // that all fit; none: the rows have differing numbers of fields with each
}

func (e *FirstRowsError) Error() string {
	if len(e.Separators) == 0 {
		return e.File + ": the separator cannot be found: whichever it is, the first rows have differing numbers of fields"
	}
	var list []string
	for _, c := range e.Separators {
		list = append(list, quoteName(string(c)))
	}
	return e.File + ": the separator cannot be found: " + strings.Join(list, " and ") + " both divide the first rows into equal numbers of fields"
}

// findSeparator returns the separator that divides the first rows into equal numbers of
// fields, two or more. Of several the one counts with which the header has a column of the
// job. Rows that none divides have one field.
func (j *Job) findSeparator(name string, head []byte, all bool, d csvfast.Dialect) (byte, error) {
	var fit, named []byte
	differing := false
	for _, c := range separators {
		d.Comma = c
		first, even, complete := evenRows(d, head, all)
		switch {
		case !complete:
			return 0, errMore
		case !even:
			differing = true
		case len(first) < 2:
		default:
			fit = append(fit, c)
			if j.named(first) {
				named = append(named, c)
			}
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(named) == 1:
		return named[0], nil
	case len(fit) == 0 && !differing:
		return ',', nil
	}
	return 0, &FirstRowsError{name, slices.Clone(fit)}
}

// evenRows returns the fields of the first row and whether the next ones, up to sampleRows,
// have as many. complete reports that there were rows enough to tell.
func evenRows(d csvfast.Dialect, b []byte, all bool) (first []string, even, complete bool) {
	for rows := 0; rows < sampleRows; {
		end := d.FirstRowEnd(b, false)
		if end < 0 && !all {
			return first, true, rows > 1
		}
		if end < 0 {
			end = len(b)
		}
		row := b[:end]
		if b = b[end:]; len(row) == 0 {
			return first, true, true
		}
		if emptyLine(row) {
			continue
		}
		fields, _, err := fieldsOf(d, row)
		if err != nil {
			return []string{"", ""}, false, true
		}
		if rows++; rows == 1 {
			first = fields
		} else if len(fields) != len(first) {
			return first, false, true
		}
	}
	return first, true, true
}

// sepLine parses a first line `sep=;`, with which spreadsheets name the separator. n is
// its length including the line end, or 0 if there is no such line.
func sepLine(b []byte, all bool) (comma byte, n int, err error) {
	const word = "sep="
	end := bytes.IndexByte(b, '\n')
	line := b
	if end >= 0 {
		line, n = b[:end], end+1
	} else {
		n = len(b)
		if !all {
			if len(b) <= len(word)+4 {
				return 0, 0, errMore
			}
			return 0, 0, nil
		}
	}
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if len(line) == len(word)+3 && line[0] == '"' && line[len(line)-1] == '"' {
		line = line[1 : len(line)-1]
	}
	if len(line) != len(word)+1 || !strings.EqualFold(string(line[:len(word)]), word) {
		return 0, 0, nil
	}
	switch c := line[len(word)]; {
	case c == '"', c == '\r', c >= 0x80:
		return 0, 0, nil
	default:
		return c, n, nil
	}
}

// separatorOf returns the separator that a header of one field seems to have.
func separatorOf(header []string, comma byte) string {
	if len(header) != 1 {
		return ""
	}
	for _, c := range []string{";", "\t", "|", ","} {
		if c[0] != comma && strings.Contains(header[0], c) {
			return c
		}
	}
	return ""
}

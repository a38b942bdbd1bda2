package csvfast

import "errors"

// Dialect is how a CSV file separates and quotes its fields. The zero value is comma and
// double quote. Any two different bytes except CR and LF are allowed. A value of 0x80 or more
// is a byte of the input, not a character.
type Dialect struct {
	Comma byte // field delimiter; 0: ','
	Quote byte // 0: '"'
}

var (
	errDialect = errors.New("csv: delimiter and quote must be two different bytes, neither CR nor LF")
	errRune    = errors.New("csv: delimiter and quote must be characters of one byte, below 0x80")
)

// normal fills in the defaults.
func (d Dialect) normal() Dialect {
	if d.Comma == 0 {
		d.Comma = ','
	}
	if d.Quote == 0 {
		d.Quote = '"'
	}
	return d
}

// check refuses a dialect whose delimiter, quote and row end are not distinct. d is normal.
func (d Dialect) check() error {
	if d.Comma == d.Quote || d.Comma == '\n' || d.Comma == '\r' || d.Quote == '\n' || d.Quote == '\r' {
		return errDialect
	}
	return nil
}

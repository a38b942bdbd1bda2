package profile

import (
	"bytes"
	"hash/maphash"
	"strings"
	"unicode/utf8"

	"github.com/velonym/velonym/engine/bulk/internal/hyperloglog"
)

// batchValues and batchBytes bound the values that a column collects before it hashes
// them.
const (
	batchValues = 256
	batchBytes  = 8 << 10
)

// maxDigits is the longest value of digits whose length is counted.
const maxDigits = 40

// Column counts the values of one column. One goroutine uses it at a time.
type Column struct {
	name      string
	filled    int64
	missing   int64 // empty, null, or a common marker of a missing value
	padded    int64 // with white space at an end
	controls  int64 // with control characters or line ends, or not UTF-8
	min, max  int   // lengths in bytes, without white space at the ends
	kinds     [len(kinds)]int64
	lengths   [maxDigits + 1]int64 // of values of digits
	valid     []int64              // values of digits that pass each of numberChecks
	notValues int64                // JSON: numbers, true and false

	last      uint64 // of the values of digits
	following int64  // values of digits that are last + 1
	counted   bool   // values were added with a number of occurrences, in no order

	refused string // why the values were not read

	counter *hyperloglog.Counter
	arena   []byte
	spans   []uint32
}

func newColumn(name string, seed maphash.Seed) *Column {
	return &Column{name: name, valid: make([]int64, len(numberChecks)), counter: hyperloglog.New(seed)}
}

// Missing counts n missing values.
func (c *Column) Missing(n int64) { c.missing += n }

// NotText counts n values that are not text, such as numbers of JSON; they must be added
// as text too.
func (c *Column) NotText(n int64) { c.notValues += n }

// Refuse records why the values of the column cannot be read.
func (c *Column) Refuse(why string) { c.refused = why }

// Pad counts missing values until the column has a value for each of the rows.
func (c *Column) Pad(rows int64) { c.missing += max(0, rows-c.filled-c.missing) }

// Add counts a value that occurs the given number of times. It does not keep v.
func (c *Column) Add(v []byte, times int64) {
	trimmed := bytes.TrimSpace(v)
	if len(trimmed) == 0 || isMissing(trimmed) {
		c.missing += times
		return
	}
	if c.filled == 0 || len(trimmed) < c.min {
		c.min = len(trimmed)
	}
	c.max = max(c.max, len(trimmed))
	c.filled += times
	if len(trimmed) < len(v) {
		c.padded += times
	}
	c.counted = c.counted || times != 1
	if hasControls(trimmed) {
		c.controls += times
	}
	k := classify(trimmed)
	c.kinds[indexOf[k]] += times
	if k == Digits {
		c.addDigits(trimmed, times)
	}
	c.hash(trimmed)
}

// addDigits counts a value of digits.
func (c *Column) addDigits(v []byte, times int64) {
	c.lengths[min(len(v), maxDigits)] += times
	if len(v) > 18 {
		return
	}
	var d [18]byte
	for i, b := range v {
		d[i] = b - '0'
	}
	n := number(d[:len(v)])
	if n == c.last+1 {
		c.following += times
	}
	c.last = n
	for i, check := range numberChecks {
		if check.digits == len(v) && check.valid(d[:len(v)]) {
			c.valid[i] += times
		}
	}
}

// hash adds v to the estimate of different values.
func (c *Column) hash(v []byte) {
	if len(c.spans) == 2*batchValues || len(c.arena)+len(v) > batchBytes {
		c.flush()
	}
	if len(v) > batchBytes {
		c.counter.Add(v, []uint32{0, uint32(len(v))}, false)
		return
	}
	c.spans = append(c.spans, uint32(len(c.arena)), uint32(len(v)))
	c.arena = append(c.arena, v...)
}

func (c *Column) flush() {
	c.counter.Add(c.arena, c.spans, false)
	c.arena, c.spans = c.arena[:0], c.spans[:0]
}

// distinct returns the estimated number of different values.
func (c *Column) distinct() int64 {
	c.flush()
	return min(c.counter.Estimate(), c.filled)
}

// hasControls reports whether v contains control characters or is not UTF-8. A run refuses
// such values.
func hasControls(v []byte) bool {
	for _, b := range v {
		if b < ' ' || b == 0x7f {
			return true
		}
	}
	return !utf8.Valid(v)
}

// isMissing reports whether v is a common marker of a missing value.
func isMissing(v []byte) bool {
	if len(v) > 7 {
		return false
	}
	switch strings.ToLower(string(v)) {
	case "na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "missing", "unknown", `\n`:
		return true
	}
	return false
}

// Columns are the columns of a table.
type Columns struct {
	list []*Column
	seed maphash.Seed
}

// NewColumns returns columns with the given names.
func NewColumns(names ...string) *Columns {
	t := &Columns{seed: maphash.MakeSeed()}
	for _, n := range names {
		t.Append(n)
	}
	return t
}

// Append adds a column.
func (t *Columns) Append(name string) *Column {
	c := newColumn(name, t.seed)
	t.list = append(t.list, c)
	return c
}

// Column returns the column with the given index.
func (t *Columns) Column(i int) *Column { return t.list[i] }

// Len returns the number of columns.
func (t *Columns) Len() int { return len(t.list) }

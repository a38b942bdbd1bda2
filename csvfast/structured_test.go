package csvfast

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/velonym/velonym/internal/campaign"
)

// campaigns is the number of campaigns of this package, which share the time of make soak.
const campaigns = 3

// stretches are rows that are repeated up to a change.
var stretches = []string{
	"abcdefghijklm\n", "z\n", "abcdef\r\n", "\"quoted\"\n", "é–𝄞\n", "a,b\n", "ab,cd,ef\n", "ab,cd\r\n",
	"\"ab\",\"c,d\"\n", "\"a\"\"b\",c\n", ",,,,,,,\n", ",b\n", "b,\n", "1,2,3,4,5,6,7,8\n", "\"a\nb\",\"c\r\nd\"\r\n",
	"a field of more than sixty-four bytes, which is longer than a block of the index\n",
	"\"a quoted field of more than sixty-four bytes, \"\"longer\"\" than a block of the index\",x\n", "a\n\n", "a,b\n\r\n", "\"\"\n", "a\r,b\n",
}

// changes are what stands between two stretches; the last ones are no valid CSV.
var changes = []string{
	"a,second\n", "a,\n", ",\n", ",\r\n", "\n", "\r\n", "x\r\n", "\"q\"\n", "\"q\"\r\n", "\"q\"\"r\"\n", "\"q,r\"\n", "\"l\nm\"\n", "\"l\r\n\",m\n",
	"é\n", "a,b,c,d\n", "a\rb\n", "\"\"\n", ",\"\"\n", "\"a\",\n", "\"\",\"\"\"\"\n", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z\n", "\n\n\n", "\r\n\r\n", "a\r,\r\n", "a\r\r\n", "\"a\"\r\n",
	"a\"b\n", "\"a\"b\n", "\"a\r\"\r\r\n", "\"open\n", "a,\"b\"\"\"\",\n", "\r", "a,b\r\rc\n",
}

const brokenChanges = 7 // of changes, at the end

// structured makes an input of three to six windows: stretches, and a change
// around a border of a window, a stride or a buffer, often across it.
func structured(r *rand.Rand, number int) []byte {
	size := (3+r.IntN(4))*window + r.IntN(200) - 100
	steps := []int{window, window, window, 64, 4096, 256}
	at := campaign.Border(r, number, steps[r.IntN(len(steps))], size)
	if r.IntN(16) == 0 {
		at = 0
	}
	kind := r.IntN(len(stretches))
	var in []byte
	for {
		n := len(changes) - brokenChanges
		if r.IntN(8) == 0 {
			n = len(changes)
		}
		change := changes[r.IntN(n)]
		if r.IntN(2) == 0 && at > window/2 && at < size { // the border stands within the change
			at = (at+window/2)/window*window - r.IntN(len(change)+1)
		}
		in = stretch(in, min(at, size), stretches[kind])
		if len(in) >= size {
			break
		}
		in = append(in, change...)
		if r.IntN(8) == 0 {
			if r.IntN(2) == 0 {
				in = append(append(in, bytes.Repeat([]byte("long"), r.IntN(3*window/4))...), '\n')
			} else {
				in = append(append(append(in, '"'), bytes.Repeat([]byte("lo\n\"\"ng"), r.IntN(window/2))...), "\"\n"...)
			}
		}
		if r.IntN(2) == 0 {
			kind = r.IntN(len(stretches))
		}
		at = size // then a stretch to the end, or another change
		if r.IntN(3) == 0 {
			at = max(len(in), campaign.Border(r, r.IntN(261), window, size))
		}
	}
	switch r.IntN(6) {
	case 0:
		in = bytes.TrimRight(in, "\r\n")
	case 1:
		in = append(in, '\r')
	}
	return in
}

// stretch appends rows so that in ends at offset at; a row, or what is left, is
// made longer for that.
func stretch(in []byte, at int, text string) []byte {
	row := []byte(text)
	for at-len(in) >= 2*len(row) {
		in = append(in, row...)
	}
	pad := at - len(in)
	if pad <= 0 {
		return in
	}
	if pad < len(row) {
		return append(append(in, bytes.Repeat([]byte("p"), pad-1)...), '\n')
	}
	end := len(row) // pad the last field, in its quotes if it has some
	for end > 0 && (row[end-1] == '\n' || row[end-1] == '\r' || row[end-1] == '"') {
		end--
	}
	if bytes.HasSuffix(row, []byte("\n\r\n")) || bytes.HasSuffix(row, []byte("\n\n")) || bytes.Equal(row, []byte("\"\"\n")) {
		end = 1
	}
	in = append(in, row[:end]...)
	in = append(in, bytes.Repeat([]byte("p"), pad-len(row))...)
	return append(in, row[end:]...)
}

// verdict is what encoding/csv says of an input, once for all checks.
type verdict struct {
	in    []byte
	rows  [][]string
	lines []int // of each row's start
	err   *csv.ParseError
}

func judge(t *testing.T, in []byte) *verdict {
	v := &verdict{in: in}
	rd := csv.NewReader(bytes.NewReader(in))
	rd.FieldsPerRecord = -1
	for {
		row, err := rd.Read()
		if err == io.EOF {
			return v
		}
		if err != nil {
			if !errors.As(err, &v.err) {
				t.Fatalf("encoding/csv: %v", err)
			}
			return v
		}
		line, _ := rd.FieldPos(0)
		v.rows, v.lines = append(v.rows, row), append(v.lines, line)
	}
}

// values returns what a scan must find, the number of its rows, and its error.
func (v *verdict) values(columns []int, fields int) (want []string, rows int, err error) {
	for i, row := range v.rows {
		if fields == 0 {
			fields = len(row)
		}
		if fields > 0 && len(row) != fields {
			return want, i, &ParseError{StartLine: v.lines[i], Line: v.lines[i], Column: 1, Err: ErrFieldCount}
		}
		if columns == nil {
			want = append(want, row...)
			continue
		}
		if columns[len(columns)-1] >= len(row) {
			return want, i, &ParseError{StartLine: v.lines[i], Line: v.lines[i], Column: 1, Err: ErrColumn}
		}
		for _, c := range columns {
			want = append(want, row[c])
		}
	}
	if v.err != nil {
		err = &ParseError{StartLine: v.err.StartLine, Line: v.err.Line, Column: v.err.Column, Err: v.err.Err}
	}
	return want, len(v.rows), err
}

// place is what two errors must have in common.
func place(err error) string {
	var e *ParseError
	if !errors.As(err, &e) {
		return fmt.Sprint(err)
	}
	return fmt.Sprint(e.StartLine, e.Line, e.Column, e.Err)
}

// matches drops the values of the last scan from want and reports whether they
// were its first ones.
func matches(s *Selector, buf []byte, want *[]string) bool {
	doubled := s.Doubled
	for i := 0; i < len(s.Spans); i += 2 {
		raw := buf[s.Spans[i]:][:s.Spans[i+1]]
		if len(doubled) > 0 && int(doubled[0]) == i/2 {
			doubled = doubled[1:]
			text := s.d.Unquote(nil, raw)
			if len(text) == len(raw) {
				return false
			}
			raw = text
		}
		if len(*want) == 0 {
			return false
		}
		if w := (*want)[0]; string(raw) != w && lfOnly(string(raw)) != w {
			return false
		}
		*want = (*want)[1:]
	}
	return len(doubled) == 0
}

// checkWhole scans the input as a whole.
func (v *verdict) checkWhole(t *testing.T, s *Selector, columns []int, fields int) {
	want, rows, wantErr := v.values(columns, fields)
	err := s.Scan(v.in)
	if place(err) != place(wantErr) {
		t.Fatalf("columns %v, fields %d: error %v, want %v", columns, fields, place(err), place(wantErr))
	}
	n := len(want)
	if !matches(s, v.in, &want) || len(want) > 0 || s.Rows != rows {
		t.Fatalf("columns %v, fields %d: %d rows, %d values, or other ones; want %d, %d", columns, fields, s.Rows, len(s.Spans)/2, rows, n)
	}
	if err == nil && s.Lines != bytes.Count(v.in, lf) {
		t.Fatalf("columns %v, fields %d: %d lines", columns, fields, s.Lines)
	}
	if s.Plain && (bytes.ContainsAny(v.in, "\",\r") || bytes.Contains(v.in, []byte("\n\n")) || v.in[0] == '\n') {
		t.Fatalf("called plain")
	}
	if columns != nil || fields >= 0 {
		return
	}
	end := 0
	for i, e := range s.RowEnds {
		if end += len(v.rows[i]); int(e) != end {
			t.Fatalf("row %d ends behind value %d, want %d", i+1, e, end)
		}
	}
	if len(s.RowEnds) != rows {
		t.Fatalf("%d row ends of %d rows", len(s.RowEnds), rows)
	}
}

// checkParts scans the input in parts, as a stream gives them.
func (v *verdict) checkParts(t *testing.T, r *rand.Rand, s *Selector, columns []int, fields int) {
	want, rows, wantErr := v.values(columns, fields)
	size := []int{200, 2 * window, 2 * window, 4 * window}[r.IntN(4)]
	size = 64 + r.IntN(size)
	lines, at, last := 0, 0, false
	var err error
	for !last && err == nil {
		var n int
		end := min(at+size, len(v.in))
		if last = end == len(v.in); last {
			err = s.Scan(v.in[at:])
		} else if n, err = s.ScanPart(v.in[at:end]); n == 0 && err == nil {
			size *= 2
			continue
		}
		if !matches(s, v.in[at:end], &want) {
			t.Fatalf("columns %v, fields %d, parts of %d: other values in the part at %d", columns, fields, size, at)
		}
		at += n
		rows -= s.Rows
		var e *ParseError
		if errors.As(err, &e) {
			e.StartLine, e.Line = e.StartLine+lines, e.Line+lines
		}
		lines += s.Lines
	}
	if place(err) != place(wantErr) {
		t.Fatalf("columns %v, fields %d, parts of %d: error %v, want %v", columns, fields, size, place(err), place(wantErr))
	}
	if rows != 0 || len(want) > 0 || err == nil && lines != bytes.Count(v.in, lf) {
		t.Fatalf("columns %v, fields %d, parts of %d: %d rows, %d values less than there are; %d lines", columns, fields, size, rows, len(want), lines)
	}
}

// checkReads reads the input through a Reader, in reads of odd sizes.
func (v *verdict) checkReads(t *testing.T, r *rand.Rand, paths *readerPaths) {
	rd := NewReader(&oddReads{r: r, in: v.in, most: []int{64 + r.IntN(400), window + 1, readerBuffer}[r.IntN(3)]})
	rd.FieldsPerRecord = -1
	if r.IntN(2) == 0 {
		rd.start() // with room for two windows, so that rows move between buffers
		rd.buf = make([]byte, 0, 2*window)
	}
	for i := 0; ; i++ {
		row, err := rd.ReadBorrowed()
		if err == io.EOF && i == len(v.rows) && v.err == nil {
			break
		}
		if err != nil {
			if i != len(v.rows) || v.err == nil || place(err) != place(&ParseError{StartLine: v.err.StartLine, Line: v.err.Line, Column: v.err.Column, Err: v.err.Err}) {
				t.Fatalf("reader: error %v at row %d, want %v behind %d", place(err), i+1, v.err, len(v.rows))
			}
			break
		}
		if i >= len(v.rows) || !slices.EqualFunc(row, v.rows[i], func(b []byte, s string) bool { return string(b) == s || lfOnly(string(b)) == s }) {
			t.Fatalf("reader: row %d is another one", i+1)
		}
	}
	paths.windows += rd.paths.windows
	paths.moves += rd.paths.moves
	paths.grows += rd.paths.grows
	paths.byRow += rd.paths.byRow
}

// oddReads reads in up to most bytes at a time.
type oddReads struct {
	r    *rand.Rand
	in   []byte
	most int
}

func (o *oddReads) Read(p []byte) (int, error) {
	if len(o.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, o.in[:min(len(o.in), 1+o.r.IntN(o.most))])
	o.in = o.in[n:]
	return n, nil
}

// checkShares cuts the input in shares by the parities of its pieces, as a run with
// several machines does. The input is valid.
func (v *verdict) checkShares(t *testing.T, r *rand.Rand, s *Selector, columns []int) {
	want, rows, err := v.values(columns, -1)
	if err != nil {
		return
	}
	var d Dialect
	size := 1 + r.IntN(len(v.in))
	if r.IntN(2) == 0 {
		size = []int{64, 4096, window}[r.IntN(3)] + r.IntN(261) - 130
		size = max(size, len(v.in)/50, 1)
	}
	from, odd := 0, false
	for at := 0; at < len(v.in); {
		next := min(at+size, len(v.in))
		odd = odd != d.Parity(v.in[at:next])
		to := len(v.in)
		if e := d.FirstRowEnd(v.in[next:], odd); e >= 0 {
			to = next + e
		}
		if l := d.LastRowEnd(v.in[from:to], false); from < to && l != to-from && to < len(v.in) {
			t.Fatalf("shares of %d: row end at %d from the front, at %d from behind", size, to, from+l)
		}
		if to > from {
			if err := s.Scan(v.in[from:to]); err != nil || !matches(s, v.in[from:to], &want) {
				t.Fatalf("columns %v, shares of %d: other values in the share at %d: %v", columns, size, from, place(err))
			}
			rows -= s.Rows
		}
		from, at = to, next
	}
	if rows != 0 || len(want) > 0 {
		t.Fatalf("columns %v, shares of %d: %d rows, %d values less than there are", columns, size, rows, len(want))
	}
}

// selections are the columns and numbers of fields that every input is scanned with.
var selections = []struct {
	columns []int
	fields  int
}{{nil, -1}, {nil, 0}, {[]int{0}, -1}, {[]int{0}, 0}, {[]int{0}, 1}, {[]int{1}, -1}, {[]int{0, 1}, 0}, {[]int{0, 2}, -1}, {nil, 1}, {[]int{1}, 2}}

// TestStructuredCSV: whole buffer, parts, shares and reader agree with encoding/csv
// on inputs of several windows whose shape changes around a border.
func TestStructuredCSV(t *testing.T) {
	var sum selectorPaths
	var index indexerPaths
	var reads readerPaths
	campaign.Run(t, 261, campaigns, func(t *testing.T, r *rand.Rand, number int) {
		v := judge(t, structured(r, number))
		choice := r.IntN(len(selections))
		campaign.OnEachKernel(t, func(string) {
			for k := range 3 {
				c := selections[(choice+k)%len(selections)]
				s, err := NewSelector(Dialect{}, c.columns, c.fields)
				if err != nil {
					t.Fatal(err)
				}
				if r.IntN(2) == 0 {
					v.checkWhole(t, s, c.columns, c.fields)
				}
				fields := s.fields // of the first row, if there was a scan
				if r.IntN(2) == 0 {
					v.checkWhole(t, s, c.columns, fields)
					fields = s.fields
				}
				v.checkParts(t, r, s, c.columns, fields)
				sum.add(&s.paths)
				if c.fields < 0 {
					v.checkShares(t, r, s, c.columns)
				}
				for i := range index.plain {
					index.plain[i] += s.index.paths.plain[i]
					index.strict[i] += s.index.paths.strict[i]
				}
				index.endings += s.index.paths.endings
			}
			v.checkReads(t, r, &reads)
		})
	})
	campaign.AtLeast(t, 10, map[string]int{
		"plain": sum.plain, "singles": sum.singles, "columns": sum.columns, "all": sum.all, "evenOpen": sum.evenOpen, "evenTail": sum.evenTail,
		"byRow": sum.byRow, "part": sum.part, "openSingle": sum.openSingle, "faults": sum.faults, "cut": sum.cut,
		"index plain": index.plain[0], "index plain dense": index.plain[1], "index strict": index.strict[0], "index strict dense": index.strict[1], "index endings": index.endings,
		"reader windows": reads.windows, "reader moves": reads.moves, "reader by row": reads.byRow,
	})
	campaign.AtLeast(t, 5, map[string]int{"reader grows": reads.grows}) // long rows are few where one kernel runs
}

// add adds the counts of another selector.
func (p *selectorPaths) add(q *selectorPaths) {
	p.plain += q.plain
	p.singles += q.singles
	p.columns += q.columns
	p.all += q.all
	p.evenOpen += q.evenOpen
	p.evenTail += q.evenTail
	p.byRow += q.byRow
	p.part += q.part
	p.openSingle += q.openSingle
	p.faults += q.faults
	p.cut += q.cut
}

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

// campaigns is the number of campaigns of this package, among which make soak divides its time.
const campaigns = 3

// stretches are rows, each of which is repeated up to a change.
var stretches = []string{
	"abcdefghijklm\n", "z\n", "abcdef\r\n", "\"quoted\"\n", "é–𝄞\n", "a,b\n", "ab,cd,ef\n", "ab,cd\r\n",
	"\"ab\",\"c,d\"\n", "\"a\"\"b\",c\n", ",,,,,,,\n", ",b\n", "b,\n", "1,2,3,4,5,6,7,8\n", "\"a\nb\",\"c\r\nd\"\r\n",
	"a field of more than sixty-four bytes, which is longer than a block of the index\n",
	"\"a quoted field of more than sixty-four bytes, \"\"longer\"\" than a block of the index\",x\n", "a\n\n", "a,b\n\r\n", "\"\"\n", "a\r,b\n",
}

// changes stand between two stretches. The last brokenChanges of them are not valid CSV.
var changes = []string{
	"a,second\n", "a,\n", ",\n", ",\r\n", "\n", "\r\n", "x\r\n", "\"q\"\n", "\"q\"\r\n", "\"q\"\"r\"\n", "\"q,r\"\n", "\"l\nm\"\n", "\"l\r\n\",m\n",
	"é\n", "a,b,c,d\n", "a\rb\n", "\"\"\n", ",\"\"\n", "\"a\",\n", "\"\",\"\"\"\"\n", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z\n", "\n\n\n", "\r\n\r\n", "a\r,\r\n", "a\r\r\n", "\"a\"\r\n",
	"a\"b\n", "\"a\"b\n", "\"a\r\"\r\r\n", "\"open\n", "a,\"b\"\"\"\",\n", "\r", "a,b\r\rc\n",
}

const brokenChanges = 7

// structured returns an input of three to six windows: stretches, with a change around, and often
// across, the border of a window, a stride or a buffer.
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
		if r.IntN(2) == 0 && at > window/2 && at < size { // the border lies within the change
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
		at = size // a stretch to the end, or another change, follows
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

// stretch appends rows so that in ends at offset at. It makes the last row longer for that.
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
	end := len(row) // pads the last field, within its quotes if it has any
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

// verdict is what encoding/csv reads from an input. All checks share it.
type verdict struct {
	in    []byte
	rows  [][]string
	lines []int // number of the line at which each row starts
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

// values returns the values that a scan must find, the number of its rows, and its error.
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

// place returns the position and the kind of an error, for comparisons.
func place(err error) string {
	var e *ParseError
	if !errors.As(err, &e) {
		return fmt.Sprint(err)
	}
	return fmt.Sprint(e.StartLine, e.Line, e.Column, e.Err)
}

// matches removes the values of the last scan from the start of want, and reports whether they
// were there.
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
		t.Fatalf("columns %v, fields %d: %d rows, %d values, want %d, %d; or the values differ", columns, fields, s.Rows, len(s.Spans)/2, rows, n)
	}
	if err == nil && s.Lines != bytes.Count(v.in, lf) {
		t.Fatalf("columns %v, fields %d: %d lines, want %d", columns, fields, s.Lines, bytes.Count(v.in, lf))
	}
	if s.Plain && (bytes.ContainsAny(v.in, "\",\r") || bytes.Contains(v.in, []byte("\n\n")) || v.in[0] == '\n') {
		t.Fatalf("Plain is set, but the input has other rows")
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
		t.Fatalf("%d row ends, want %d", len(s.RowEnds), rows)
	}
}

// checkParts scans the input in parts, as a stream delivers them.
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
			t.Fatalf("columns %v, fields %d, parts of %d: the values of the part at %d differ", columns, fields, size, at)
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
		t.Fatalf("columns %v, fields %d, parts of %d: %d rows, %d values are missing; %d lines", columns, fields, size, rows, len(want), lines)
	}
}

// checkReads reads the input through a Reader, in uneven reads.
func (v *verdict) checkReads(t *testing.T, r *rand.Rand, paths *readerPaths) {
	rd := NewReader(&unevenReads{r: r, in: v.in, most: []int{64 + r.IntN(400), window + 1, readerBuffer}[r.IntN(3)]})
	rd.FieldsPerRecord = -1
	if r.IntN(2) == 0 {
		rd.start() // with a buffer of two windows, so that rows move between buffers
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
			t.Fatalf("reader: row %d differs from that of encoding/csv", i+1)
		}
	}
	paths.windows += rd.paths.windows
	paths.moves += rd.paths.moves
	paths.grows += rd.paths.grows
	paths.byRow += rd.paths.byRow
}

// unevenReads returns up to most bytes of in at a time.
type unevenReads struct {
	r    *rand.Rand
	in   []byte
	most int
}

func (o *unevenReads) Read(p []byte) (int, error) {
	if len(o.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, o.in[:min(len(o.in), 1+o.r.IntN(o.most))])
	o.in = o.in[n:]
	return n, nil
}

// checkShares cuts the input, which must be valid, into shares by the parities of its pieces, like
// a run on several machines.
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
			t.Fatalf("shares of %d: FirstRowEnd finds %d, LastRowEnd %d", size, to, from+l)
		}
		if to > from {
			if err := s.Scan(v.in[from:to]); err != nil || !matches(s, v.in[from:to], &want) {
				t.Fatalf("columns %v, shares of %d: the values of the share at %d differ: %v", columns, size, from, place(err))
			}
			rows -= s.Rows
		}
		from, at = to, next
	}
	if rows != 0 || len(want) > 0 {
		t.Fatalf("columns %v, shares of %d: %d rows, %d values are missing", columns, size, rows, len(want))
	}
}

// selections are the columns and numbers of fields with which every input is scanned.
var selections = []struct {
	columns []int
	fields  int
}{{nil, -1}, {nil, 0}, {[]int{0}, -1}, {[]int{0}, 0}, {[]int{0}, 1}, {[]int{1}, -1}, {[]int{0, 1}, 0}, {[]int{0, 2}, -1}, {nil, 1}, {[]int{1}, 2}}

// TestStructuredCSV checks that a scan of the whole buffer, of parts and of shares, and a Reader
// agree with encoding/csv on inputs of several windows whose shape changes around a border.
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
				fields := s.fields // those of the first row, if there was a scan
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
		"plain": sum.plain, "single": sum.single, "uniformColumns": sum.uniformColumns, "uniformAll": sum.uniformAll, "uniformOpen": sum.uniformOpen, "uniformTail": sum.uniformTail,
		"byRow": sum.byRow, "byRowOpen": sum.byRowOpen, "openSingle": sum.openSingle, "faults": sum.faults, "partial": sum.partial,
		"index plain": index.plain[0], "index plain dense": index.plain[1], "index strict": index.strict[0], "index strict dense": index.strict[1], "index endings": index.endings,
		"reader windows": reads.windows, "reader moves": reads.moves, "reader by row": reads.byRow,
	})
	campaign.AtLeast(t, 5, map[string]int{"reader grows": reads.grows}) // long rows are rare if only one kernel runs
}

// add adds the counts of another selector.
func (p *selectorPaths) add(q *selectorPaths) {
	p.plain += q.plain
	p.single += q.single
	p.uniformColumns += q.uniformColumns
	p.uniformAll += q.uniformAll
	p.uniformOpen += q.uniformOpen
	p.uniformTail += q.uniformTail
	p.byRow += q.byRow
	p.byRowOpen += q.byRowOpen
	p.openSingle += q.openSingle
	p.faults += q.faults
	p.partial += q.partial
}

package bulk

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/campaign"
	"github.com/velonym/velonym/internal/simd"
)

// rowKinds are the rows of a stretch, each repeated up to a change.
var rowKinds = []string{
	"abcdefghijklm\n", "z\n", "abcdef\r\n", "\"quoted\"\n", "é–𝄞\n", "a,b\n", "ab,cd,ef\n", "ab,cd\r\n", "\"ab\",\"c,d\"\n", "\"a\"\"b\",c\n", ",,,\n", ",b\n",
	"a field of more than sixty-four bytes, which is longer than a block of the index\n", "a\n\n", "\"a\nb\",c\n", "\"\"\n",
}

// rowChanges stand between two stretches. The last brokenRows of them are not valid CSV.
var rowChanges = []string{
	"a,second\n", "a,\n", ",\n", ",\r\n", "\n", "\r\n", "x\r\n", "\"q\"\n", "\"q\"\r\n", "\"q\"\"r\"\n", "\"q,r\"\n", "\"l\nm\"\n", "é\n", "a,b,c,d\n", "\"\"\n", ",\"\"\n",
	"\"a\",\n", "\"\",\"\"\"\"\n", "a,b,c,d,e,f,g,h,i,j,k,l,m\n", "\n\n\n", "a\"b\n", "\"a\"b\n", "\"open\n", "\"a\"\"\"b\n",
}

const brokenRows = 4

// structuredFile makes a file of three to six windows of the tokenizer, or chunks, with
// changes around and across their borders.
func structuredFile(r *rand.Rand, number, chunk int) []byte {
	step := []int{8 << 10, chunk}[r.IntN(2)]
	size := (3 + r.IntN(4)) * step
	at := step*(1+r.IntN(2)) + number%261 - 130
	kind := rowKinds[r.IntN(len(rowKinds))]
	in := []byte(kind)
	for {
		n := len(rowChanges) - brokenRows
		if r.IntN(16) == 0 {
			n = len(rowChanges)
		}
		change := rowChanges[r.IntN(n)]
		if r.IntN(2) == 0 {
			at = (at+step/2)/step*step - r.IntN(len(change)+1)
		}
		for len(in)+len(kind) <= at {
			in = append(in, kind...)
		}
		if pad := at - len(in); pad > 0 {
			in = append(append(in, bytes.Repeat([]byte("p"), pad-1)...), '\n')
		}
		if len(in) >= size {
			break
		}
		in = append(in, change...)
		if r.IntN(8) == 0 {
			text := []string{"long", "lo\n\"\"ng"}[r.IntN(2)]
			in = append(append(append(in, '"'), bytes.Repeat([]byte(text), r.IntN(step))...), "\"\n"...)
		}
		if r.IntN(2) == 0 {
			kind = rowKinds[r.IntN(len(rowKinds))]
		}
		at = size
		if r.IntN(3) == 0 {
			at = max(len(in), step*(1+r.IntN(4))+r.IntN(261)-130)
		}
	}
	if r.IntN(4) == 0 {
		in = bytes.TrimRight(in, "\r\n")
	}
	return in
}

// fileJudge is what encoding/csv reads from a file: its rows, or the line of an error.
type fileJudge struct {
	rows [][]string
	line int // of the error; 0: none
}

func judgeFile(t *testing.T, in []byte, ragged bool) (j fileJudge) {
	rd := csv.NewReader(bytes.NewReader(in))
	if ragged {
		rd.FieldsPerRecord = -1
	}
	for {
		row, err := rd.Read()
		var pe *csv.ParseError
		switch {
		case err == io.EOF:
			return j
		case errors.As(err, &pe):
			j.line = pe.Line
			if pe.Err == csv.ErrQuote && bytes.Count(in, []byte("\"open"))+bytes.Count(in, []byte("\"a\"\"\"b")) > 0 {
				j.line = -1 // a run reports another line for a quote that is not closed
			}
			return j
		case err != nil:
			t.Fatal(err)
		}
		j.rows = append(j.rows, row)
	}
}

// structuredRig is what all inputs of one structured test use.
type structuredRig struct {
	fwd, rev  *suite.Plan
	known     map[string]string
	dir       string
	fastPaths fastPaths
}

// transform returns the pseudonym of v, made by a call of its own.
func (b *structuredRig) transform(v string) string {
	if v == "" {
		return ""
	}
	w, ok := b.known[v]
	if !ok {
		w = transformOne(b.fwd, v)
		b.known[v] = w
	}
	return w
}

// run runs job over the file in, and returns its output.
func (b *structuredRig) run(job Job, in string) ([]byte, error) {
	out := filepath.Join(b.dir, "out.csv")
	os.Remove(out)
	job.Inputs, job.Output, job.fastPaths = []string{in}, out, &b.fastPaths
	if _, err := Run(context.Background(), job); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// try checks one input: as a file, as a stream, in shares, and back.
func (b *structuredRig) try(t *testing.T, r *rand.Rand, number int) {
	tiers := simd.Kernels()
	tier := tiers[number%len(tiers)]
	if err := simd.Force(tier); err != nil {
		t.Fatal(err)
	}
	chunk := []int{64, 500, 4 << 10, 8 << 10, 10_000}[r.IntN(5)] + r.IntN(131)
	in := structuredFile(r, number, max(chunk, 2000))
	job := Job{NoHeader: true, Ragged: r.IntN(4) > 0, Workers: 1 + r.IntN(3), chunk: chunk, Columns: []Column{{Number: 1, Plan: b.fwd}}}
	want := judgeFile(t, in, job.Ragged)
	path := filepath.Join(b.dir, "in.csv")
	if err := os.WriteFile(path, in, 0o600); err != nil {
		t.Fatal(err)
	}
	whole, err := b.run(job, path)
	stream := job
	var piped bytes.Buffer
	stream.Stdin, stream.Stdout = &unevenReads{b: in, r: r, most: 1 + r.IntN(2*chunk)}, &piped
	stream.fastPaths = &b.fastPaths
	_, streamErr := Run(context.Background(), stream)
	if want.line != 0 {
		for _, err := range []error{err, streamErr} {
			var e *Error
			if !errors.As(err, &e) || want.line > 0 && e.Line != int64(want.line) {
				t.Fatalf("kernel %s, chunks of %d: error %v, want one of line %d", tier, chunk, err, want.line)
			}
		}
		return
	}
	if err != nil || streamErr != nil {
		t.Fatalf("kernel %s, chunks of %d: %v; as a stream %v", tier, chunk, err, streamErr)
	}
	if !bytes.Equal(whole, piped.Bytes()) {
		t.Fatalf("kernel %s, chunks of %d: file and stream differ", tier, chunk)
	}
	b.compare(t, want, whole)
	parts := 2 + r.IntN(4)
	var joined []byte
	for k := range parts {
		share := job
		share.Part, share.Parts = k+1, parts
		out, err := b.run(share, path)
		if err != nil {
			t.Fatalf("kernel %s, chunks of %d, part %d/%d: %v", tier, chunk, k+1, parts, err)
		}
		joined = append(joined, out...)
	}
	if !bytes.Equal(whole, joined) {
		t.Fatalf("kernel %s, chunks of %d, %d shares differ from the whole", tier, chunk, parts)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	job.Columns[0].Plan, job.chunk = b.rev, 1+r.IntN(20_000)
	if back, err := b.run(job, path); err != nil || !bytes.Equal(back, in) {
		t.Fatalf("kernel %s, chunks of %d: reversing does not restore the file; %v", tier, job.chunk, err)
	}
}

// compare reads the output with encoding/csv and compares it with want, whose first column
// it transforms value by value.
func (b *structuredRig) compare(t *testing.T, want fileJudge, out []byte) {
	got := judgeFile(t, out, true)
	if len(got.rows) != len(want.rows) || got.line != 0 {
		t.Fatalf("%d rows became %d, error in line %d", len(want.rows), len(got.rows), got.line)
	}
	for i, row := range want.rows {
		row[0] = b.transform(row[0])
		if strings.Join(row, "\x00") != strings.Join(got.rows[i], "\x00") {
			t.Fatalf("row %d of %d differs from that of encoding/csv", i+1, len(want.rows))
		}
	}
}

// longForm is set by make soak and makes tests run more rounds.
var longForm = os.Getenv("VELONYM_SOAK") != ""

// TestStructuredRuns checks that runs over a file, a stream of uneven reads and shares give
// what encoding/csv and a transform of each value give, and that reversing restores the
// bytes.
func TestStructuredRuns(t *testing.T) {
	tag := reversible
	tag.Tag = 64
	count := 131
	if testing.Short() {
		count = 60
	}
	b := &structuredRig{fwd: plan(t, spec.Pseudonymise, tag), rev: plan(t, spec.Reverse, tag), known: map[string]string{}, dir: t.TempDir()}
	was := simd.Kernel()
	defer func() {
		if err := simd.Force(was); err != nil {
			t.Error(err)
		}
	}()
	campaign.Run(t, count, 1, func(t *testing.T, r *rand.Rand, n int) {
		if len(b.known) > 100_000 {
			clear(b.known)
		}
		b.try(t, r, n)
	})
	w := &b.fastPaths
	campaign.AtLeast(t, 10, map[string]int{"rows": int(w.rows.Load()), "scattered": int(w.scattered.Load()), "slow": int(w.slow.Load()), "sameSpans": int(w.sameSpans.Load()),
		"withinRow": int(w.withinRow.Load()), "readOn": int(w.readOn.Load()), "grown": int(w.grown.Load())})
}

package bulk

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/campaign"
	"github.com/velonym/velonym/internal/simd"
)

// rewritten rewrites in with parts of about chunk bytes, written by two writers alternately.
func rewritten(o CSVOptions, in []byte, chunk int, w *fastPaths) (out []byte, bad []BadField, err error) {
	body := append(make([]byte, 0, len(in)+64), in...)
	t, err := NewCSVRewriter(o, "body", body)
	if err != nil {
		return nil, nil, err
	}
	t.run.chunk, t.run.fastPaths = chunk, w
	if err := t.Scan(make([]uint32, 0, len(in)%97)); err != nil {
		return nil, nil, err
	}
	out = append(out, t.Head()...)
	var writers [2]*CSVWriter
	for i := range writers {
		if writers[i], err = t.Writer(); err != nil {
			return nil, nil, err
		}
	}
	for i := range t.Parts() {
		w := writers[i%2]
		if i%3 == 0 {
			out = slices.Grow(out, 4*chunk)
		}
		out = w.Append(out, i)
		bad = append(bad, w.Bad()...)
	}
	if !bytes.Equal(body, in) {
		return nil, nil, errors.New("the body has changed")
	}
	return out, bad, nil
}

// TestStructuredRewriter compares a rewritten body with the output of Run, and both with
// encoding/csv and a transform of each value, for rows of every kind around the borders of
// parts.
func TestStructuredRewriter(t *testing.T) {
	tag := reversible
	tag.Tag = 64
	b := &structuredRig{fwd: plan(t, spec.Pseudonymise, tag), rev: plan(t, spec.Reverse, tag), known: map[string]string{}, dir: t.TempDir()}
	defer simd.Force(simd.Kernel())
	count := 200
	if testing.Short() {
		count = 80
	}
	refused := 0
	campaign.Run(t, count, 2, func(t *testing.T, r *rand.Rand, n int) {
		tiers := simd.Kernels()
		if err := simd.Force(tiers[n%len(tiers)]); err != nil {
			t.Fatal(err)
		}
		chunk := []int{64, 500, 4 << 10, 8 << 10, 10_000}[r.IntN(5)] + r.IntN(131)
		in := structuredFile(r, n, max(chunk, 2000))
		want := judgeFile(t, in, false)
		o := CSVOptions{NoHeader: true, Columns: []Column{{Number: 1, Plan: b.fwd}}}
		out, bad, err := rewritten(o, in, chunk, &b.fastPaths)
		var run bytes.Buffer
		_, runErr := Run(context.Background(), Job{NoHeader: true, Columns: o.Columns, Stdin: bytes.NewReader(in), Stdout: &run})
		if want.line != 0 {
			refused++
			var e, f *Error
			if !errors.As(err, &e) || want.line > 0 && e.Line != int64(want.line) || !errors.As(runErr, &f) || e.Line != f.Line {
				t.Fatalf("parts of %d: error %v, want that of line %d; Run says %v", chunk, err, want.line, runErr)
			}
			return
		}
		if err != nil || runErr != nil || len(bad) > 0 {
			t.Fatalf("parts of %d: %v, %d bad values; Run says %v", chunk, err, len(bad), runErr)
		}
		if !bytes.Equal(out, run.Bytes()) {
			t.Fatalf("parts of %d: the body and the output of Run differ", chunk)
		}
		b.compare(t, want, out)
		o.Columns[0].Plan = b.rev
		if back, _, err := rewritten(o, out, 1+r.IntN(20_000), &b.fastPaths); err != nil || !bytes.Equal(back, in) {
			t.Fatalf("parts of %d: reversing does not restore the body; %v", chunk, err)
		}
	})
	w := &b.fastPaths
	campaign.AtLeast(t, 10, map[string]int{"rows": int(w.rows.Load()), "scattered": int(w.scattered.Load()), "slow": int(w.slow.Load()), "sameSpans": int(w.sameSpans.Load()), "refused": refused})
}

// TestRewriterBadFields checks that every value without a result is listed by its row and
// column and leaves an empty field, in every part.
func TestRewriterBadFields(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	var in, want strings.Builder
	in.WriteString("id,other,name\r\n")
	want.WriteString("id,other,name\r\n")
	var bad []BadField
	r := rand.New(rand.NewPCG(3, 4))
	for row := range 500 {
		for col, end := range []string{`,"x""y",`, "\r\n"} {
			v := strings.Repeat("v", 1+r.IntN(40))
			w := transformOne(p, v)
			quoted := r.IntN(3) == 0
			switch r.IntN(20) {
			case 0:
				v, w = "a\x01b", ""
				// The options list the columns in the other order.
				bad = append(bad, BadField{Row: row, Column: 1 - col, Code: suite.ValueNotText})
			case 1:
				w = transformOne(p, `q"r`)
				v, quoted = `q""r`, true
			}
			if quoted {
				v, w = `"`+v+`"`, `"`+w+`"`
			}
			in.WriteString(v + end)
			want.WriteString(w + end)
		}
	}
	o := CSVOptions{Columns: []Column{{Name: "name", Plan: p}, {Name: "id", Plan: p}}}
	for _, chunk := range []int{1, 100, 3000, 1 << 20} {
		out, got, err := rewritten(o, []byte(in.String()), chunk, new(fastPaths))
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			got[i].Why = ""
		}
		if string(out) != want.String() || !slices.Equal(got, bad) {
			t.Fatalf("parts of %d: %d bad fields, want %d; or the output differs", chunk, len(got), len(bad))
		}
	}
}

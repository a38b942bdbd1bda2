package bulk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// secondary returns a plan from pseudonyms of the domain of plan to those of another.
func secondary(t *testing.T, src, dst suite.Spec) *suite.Plan {
	t.Helper()
	var keys [2]*suite.Keys
	for i, project := range []string{"cohort", "other"} {
		s := suite.Secret{Active: true}
		for k := range s.S {
			s.S[k] = byte(k * (7 + 4*i))
		}
		if i == 0 { // the secret of plan
			for k := range s.S {
				s.S[k] = byte(k * 7)
			}
		}
		k, err := suite.NewKeys(project, "", []suite.Secret{s})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Release()
		keys[i] = k
	}
	src.Gen, dst.Gen = -1, -1
	p, err := suite.NewSecondary(src, keys[0], dst, keys[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// TestSecondaryResultsAreCopied checks that pseudonyms of another domain are copied to their
// final offsets, and compares the file with a transform of each value: in one column and in
// two, with text of any length between them, quotes and empty values, with every kernel.
func TestSecondaryResultsAreCopied(t *testing.T) {
	was := simd.Kernel()
	defer func() {
		if err := simd.Force(was); err != nil {
			t.Error(err)
		}
	}()
	hex := reversible
	hex.Form = spec.Hex
	var paths fastPaths
	rounds := 60
	if simdtest.Race() {
		rounds = 12
	}
	for round := range rounds {
		if err := simd.Force(simd.Kernels()[round%len(simd.Kernels())]); err != nil {
			t.Fatal(err)
		}
		src, dst := reversible, reversible
		if round&1 == 1 {
			dst = hex
		}
		fwd, sec := plan(t, spec.Pseudonymise, src), secondary(t, src, dst)
		columns := []Column{{Number: 2, Plan: sec}}
		if round%3 == 2 {
			columns = append(columns, Column{Number: 3, Plan: secondary(t, src, reversible)})
		}
		r := rand.New(rand.NewPCG(16, uint64(round)))
		var in, want strings.Builder
		for i := range 400 {
			row, out := [3]string{strings.Repeat("t", r.IntN(70)), "", ""}, [3]string{}
			out[0] = row[0]
			for c := 1; c < 3; c++ {
				v := transformOne(fwd, strings.Repeat("v", r.IntN(40))+fmt.Sprint(i))
				row[c], out[c] = v, v
				if c <= len(columns) {
					out[c] = transformOne(columns[c-1].Plan, v)
				}
				switch r.IntN(12) {
				case 0:
					row[c], out[c] = `"`+row[c]+`"`, `"`+out[c]+`"`
				case 1:
					row[c], out[c] = "", ""
				}
			}
			in.WriteString(strings.Join(row[:], ",") + "\n")
			want.WriteString(strings.Join(out[:], ",") + "\n")
		}
		job := Job{NoHeader: true, Columns: columns, fastPaths: &paths, Workers: 1, chunk: 3000 + r.IntN(9000)}
		got, _, err := runBytes(t, job, []byte(in.String()), round%4 < 2)
		if err != nil || !bytes.Equal(got, []byte(want.String())) {
			t.Fatalf("round %d, kernel %s: the output differs from a transform of each value; %v", round, simd.Kernel(), err)
		}
	}
	if n := paths.copied.Load(); n < int64(100*rounds/60) {
		t.Errorf("%d chunks had their results copied, too few for %d rounds", n, rounds)
	}
	if n := paths.slow.Load(); n > 0 {
		t.Errorf("%d chunks were written value by value, want none", n)
	}
}

package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// TestJSONNumbers checks that a number at a path is refused, or with NumbersText its text is
// transformed and the result is a string.
func TestJSONNumbers(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	for _, v := range []string{"0", "12", "-7", "1.50", "1e3", "-0", "12345678901234567890123"} {
		for _, c := range []struct {
			format   Format
			in, want string
		}{
			{NDJSON, `{"id":%s,"n":%[1]s}` + "\n" + `{"n":1,"id":"text"}` + "\n", `{"id":%s,"n":` + v + "}\n" + `{"n":1,"id":` + quoted(p, "text") + "}\n"},
			{NDJSON, `{"id": [%s , %[1]s,null,"text"]}` + "\n", `{"id": [%s , %[1]s,null,` + quoted(p, "text") + "]}\n"},
			{JSON, "[\n {\"id\" :\t%s}\n]\n", "[\n {\"id\" :\t%s}\n]\n"},
			{JSON, "[{\"id\":%s}]", "[{\"id\":%s}]"},
		} {
			in := fmt.Sprintf(c.in, v)
			job := Job{Format: c.format, Columns: []Column{{Name: "id", Plan: p}}, Numbers: NumbersText}
			want := fmt.Sprintf(c.want, quoted(p, v))
			got, sum, err := runText(t, job, in)
			if err != nil || got != want {
				t.Errorf("%s: %q, want %q, %v", in, got, want, err)
			}
			values := int64(strings.Count(c.in, "%") + strings.Count(c.in, "text"))
			if c.format == NDJSON && strings.Contains(c.in, `"n":%[1]s`) {
				values--
			}
			if sum.Values != values || sum.Errors != 0 || sum.Columns[0].Values != values {
				t.Errorf("%s: %+v, want %d values", in, sum, values)
			}
			// Reversing gives strings.
			job.Columns[0].Plan = back
			reversed, _, err := runText(t, job, got)
			if wantBack := strings.ReplaceAll(want, quoted(p, v), `"`+v+`"`); err != nil || reversed != strings.ReplaceAll(wantBack, quoted(p, "text"), `"text"`) {
				t.Errorf("%s: reversed %q, %v", in, reversed, err)
			}
			job.Columns[0].Plan, job.Numbers = p, ""
			_, _, err = runText(t, job, in)
			var number *OtherShapeError
			if !errors.As(err, &number) || !number.Number || strings.Contains(err.Error(), v) && len(v) > 2 {
				t.Errorf("%s: refused with %v", in, err)
			}
		}
	}
}

func quoted(p *suite.Plan, v string) string { return `"` + transformOne(p, v) + `"` }

// runText runs a job over a text.
func runText(t *testing.T, job Job, in string) (string, Summary, error) {
	t.Helper()
	var out bytes.Buffer
	job.Stdin, job.Stdout = strings.NewReader(in), &out
	sum, err := Run(context.WithoutCancel(t.Context()), job)
	return out.String(), sum, err
}

// TestJSONNumbersAmongOtherShapes checks, with NumbersText, that values that are neither
// strings nor numbers fail or pass as without it, that a number that cannot be transformed
// fails or becomes null, and that a null marker passes as the number it is.
func TestJSONNumbersAmongOtherShapes(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	digits := plan(t, spec.Pseudonymise, suite.Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Digits})
	for _, c := range []struct {
		in   string
		job  Job
		want string // output, or ! and a part of the error
	}{
		{`{"id":1}` + "\n" + `{"id":true}`, Job{}, `!line 2, byte 7, column "id": NOT_A_STRING: true or false`},
		{`{"id":1}` + "\n" + `{"id":{"a":5}}`, Job{}, `!line 2, byte 7, column "id": NOT_A_STRING: an object`},
		{`{"id":true}` + "\n" + `{"id":1}`, Job{AllowOther: true}, `{"id":true}` + "\n" + `{"id":` + quoted(p, "1") + `}`},
		{`{"id":true}` + "\n" + `{"id":1}`, Job{OnError: Null}, `{"id":null}` + "\n" + `{"id":` + quoted(p, "1") + `}`},
		{`{"id":-9}` + "\n" + `{"id":-99}` + "\n" + `{"id":9}`, Job{Null: []string{"-9"}}, `{"id":-9}` + "\n" + `{"id":` + quoted(p, "-99") + "}\n" + `{"id":` + quoted(p, "9") + `}`},
		{`{"id":1234567}` + "\n" + `{"id":12.4567}`, Job{OnError: Null, Columns: []Column{{Name: "id", Plan: digits}}}, `{"id":` + quoted(digits, "1234567") + "}\n" + `{"id":null}`},
		{`{"id":1234567}` + "\n" + `{"id":12.4567}`, Job{Columns: []Column{{Name: "id", Plan: digits}}}, `!line 2, column "id": VALUE_NOT_IN_ALPHABET`},
		{`{"a":5}`, Job{Columns: []Column{{Name: "a.id", Plan: p}}}, `!a number stands where the path leads through an object`},
	} {
		c.job.Format, c.job.Numbers = NDJSON, NumbersText
		if c.job.Columns == nil {
			c.job.Columns = []Column{{Name: "id", Plan: p}}
		}
		got, _, err := runText(t, c.job, c.in)
		if part, fails := strings.CutPrefix(c.want, "!"); fails {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %s", c.in, err, part)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%s: %q, want %q, %v", c.in, got, c.want, err)
		}
	}
}

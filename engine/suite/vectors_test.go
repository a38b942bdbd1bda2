package suite

import (
	"bytes"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
	"github.com/velonym/velonym/testdata"
)

// TestVectors runs every case and reject of the suite's vectors on every kernel.
func TestVectors(t *testing.T) {
	simdtest.Alone(t)
	var out bytes.Buffer
	err := SelfTest(&out, testdata.A2561)
	t.Log("\n" + out.String())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "generic  266 of 266 cases, 481 of 481 rejects") {
		t.Fatal("the self-test did not run every vector on every kernel")
	}
}

// TestSelfTestFails checks that the self-test fails if one character of the file is changed.
func TestSelfTestFails(t *testing.T) {
	simdtest.Alone(t)
	for _, change := range [][2]string{
		{`"pseudonym": "jtsq7`, `"pseudonym": "jtsq6`},
		{`"code": "VALUE_LENGTH"`, `"code": "VALUE_TOO_LONG"`},
		{`"suite": "a256-1"`, `"suite": "a256-2"`},
	} {
		b := bytes.Replace(testdata.A2561, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(b, testdata.A2561) {
			t.Fatal("the change does not apply to the vector file")
		}
		if err := SelfTest(&bytes.Buffer{}, b); err == nil {
			t.Errorf("SelfTest passes with %s", change[1])
		}
	}
}

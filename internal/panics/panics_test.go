package panics

import (
	"errors"
	"strings"
	"testing"
)

func outOfRange(s []int) (err error) {
	defer Recover(&err)
	return errors.New(string(rune(s[len(s)])))
}

func withValue(v string) (err error) {
	defer Recover(&err)
	panic("the value is " + v)
}

func TestRecoverSaysWhere(t *testing.T) {
	err := outOfRange(make([]int, 3))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"index out of range [3] with length 3", "panics.outOfRange (panics_test.go:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

func TestRecoverShowsNoValue(t *testing.T) {
	err := withValue("100200300")
	if err == nil || strings.Contains(err.Error(), "100200300") || !strings.Contains(err.Error(), "panics.withValue") {
		t.Errorf("got %v", err)
	}
}

// claimed says that it is an error of the runtime, and holds a value.
type claimed string

func (c claimed) Error() string { return string(c) }
func (claimed) RuntimeError()   {}

func TestRecoverBelievesTheRuntimeAlone(t *testing.T) {
	err := func() (err error) {
		defer Recover(&err)
		panic(claimed("100200300"))
	}()
	if err == nil || strings.Contains(err.Error(), "100200300") {
		t.Errorf("got %v", err)
	}
}

func TestRecoverLeavesOtherErrors(t *testing.T) {
	want := errors.New("an error of its own")
	got := func() (err error) {
		defer Recover(&err)
		return want
	}()
	if got != want {
		t.Errorf("got %v", got)
	}
}

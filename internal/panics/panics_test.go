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

// TestRecoverSaysWhere checks that the error names the functions and lines of the panic.
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

// TestRecoverShowsNoValue checks that the text of a panic is not shown.
func TestRecoverShowsNoValue(t *testing.T) {
	err := withValue("100200300")
	if err == nil || strings.Contains(err.Error(), "100200300") || !strings.Contains(err.Error(), "panics.withValue") {
		t.Errorf("got %v", err)
	}
}

// claimed is an error with a value that claims to be one of the runtime.
type claimed string

func (c claimed) Error() string { return string(c) }
func (claimed) RuntimeError()   {}

// TestRecoverTrustsOnlyTheRuntime checks that the text of a type that only claims to be a runtime
// error is not shown.
func TestRecoverTrustsOnlyTheRuntime(t *testing.T) {
	err := func() (err error) {
		defer Recover(&err)
		panic(claimed("100200300"))
	}()
	if err == nil || strings.Contains(err.Error(), "100200300") {
		t.Errorf("got %v", err)
	}
}

// TestRecoverLeavesOtherErrors checks that Recover does not change an error without a panic.
func TestRecoverLeavesOtherErrors(t *testing.T) {
	want := errors.New("an error of its own")
	got := func() (err error) {
		defer Recover(&err)
		return want
	}()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

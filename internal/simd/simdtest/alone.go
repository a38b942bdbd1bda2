package simdtest

import "testing"

// Race reports whether the race detector is on. It makes tests many times slower; those of
// concurrent work then try fewer inputs.
func Race() bool { return raceDetector }

// Alone skips a test that compares results in one goroutine if the race detector is on, which would
// find nothing and make the test many times slower.
func Alone(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("the test has one goroutine: it runs without the race detector")
	}
}

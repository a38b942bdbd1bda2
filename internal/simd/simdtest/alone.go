package simdtest

import "testing"

// Alone marks a test that compares results in one goroutine. The race detector has nothing
// to find there and makes such a test many times slower: the test runs without it only.
func Alone(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("one goroutine: the run without the race detector says the same")
	}
}

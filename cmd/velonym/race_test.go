//go:build race

package main

// raceDetector is true if the tests run under the race detector.
const raceDetector = true

//go:build !race

package simdtest

const raceDetector = false

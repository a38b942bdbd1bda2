// Package testdata carries the vectors that the shipped command tests itself with.
package testdata

import _ "embed"

// A2561 is the vector file of the transform suite a256-1: cases and rejects as JSON.
//
//go:embed vectors/a256-1.json
var A2561 []byte

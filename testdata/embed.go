// Package testdata embeds the vectors that `velonym selftest` runs. Its folders hold the
// data of other packages' tests.
package testdata

import _ "embed"

// A2561 is the vector file of the transform suite a256-1: cases and rejects as JSON.
//
//go:embed vectors/a256-1.json
var A2561 []byte

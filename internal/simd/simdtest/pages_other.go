//go:build !(linux || darwin)

package simdtest

import "testing"

// Pages returns n bytes without pages that fault, which only other platforms have here.
func Pages(_ testing.TB, n int) []byte { return make([]byte, n) }

//go:build !(linux || darwin)

package simdtest

import "testing"

// Pages returns n bytes. This platform's memory protection is not used: reads outside
// show on the others.
func Pages(_ testing.TB, n int) []byte { return make([]byte, n) }

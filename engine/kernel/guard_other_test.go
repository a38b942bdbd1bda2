//go:build !(linux || darwin)

package kernel

import "testing"

func guarded(t testing.TB, n int) []byte { return make([]byte, n) }

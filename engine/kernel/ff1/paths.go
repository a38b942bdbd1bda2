package ff1

import "github.com/velonym/velonym/internal/simd"

// paths counts, for tests, which ways values take through this package.
var paths struct {
	alike    simd.Path // a chunk of values of one length
	sorted   simd.Path // a chunk of values sorted by length
	whole    simd.Path // the kernel from text to text
	mixed    simd.Path // a group of it with lanes filled up
	rounds   simd.Path // halves of one word, AES side by side
	pairs    simd.Path // halves of two words
	closedUp simd.Path // rows moved up over those that are refused
}

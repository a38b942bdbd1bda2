package copybetween

import "github.com/velonym/velonym/internal/simd"

// LongValue is the length in bytes from which Text leaves a value to its caller.
const LongValue = 64

// OutLen holds the length of a result by the length of its value.
type OutLen [LongValue]uint32

// byKernel counts the calls in which a kernel copied anything.
var byKernel simd.Path

// Text copies the text between values and leaves room for their results. spans holds
// offset and length in src of each value, ascending; outLen the length of the result of
// a value. src[:from] and dst[:to] are done before the call.
//
// Text stops before the first value of LongValue bytes or more. It returns the number
// of values it has passed, and from and to after the last of them. at[i] receives the
// offset in dst of the result of value i. dst must hold all of it and must not overlap
// src; its content after the returned to is undefined.
//
// Kernels copy as long as 64 bytes from the start of each block lie within the capacity
// of src and the length of dst; the portable code copies what is left.
func Text(dst, src []byte, spans, at []uint32, outLen *OutLen, from, to int) (done, nextFrom, nextTo int) {
	done, from, to = textKernel(dst, src, spans, at, outLen, from, to)
	if done > 0 {
		byKernel.Take()
	}
	n, from, to := textGeneric(dst, src, spans[2*done:], at[done:], outLen, from, to)
	return done + n, from, to
}

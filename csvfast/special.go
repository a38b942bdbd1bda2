package csvfast

// special returns the position of the first byte of v that equals one of a, b, CR
// and LF, or len(v). Short values are read eight bytes at a time on every tier.
func special(v []byte, a, b byte) int {
	if len(v) < shortValue {
		return specialGeneric(v, a, b)
	}
	return specialTier(v, a, b)
}

// shortValue is the shortest length of a value for which the kernels are called.
const shortValue = 32

package jsonfast

// special returns the position of the first byte of v that a JSON string must escape
// (a quote, a backslash, a byte below 0x20), or len(v). Short values are read eight
// bytes at a time on every tier.
func special(v []byte) int {
	if len(v) < shortValue {
		return specialGeneric(v)
	}
	return specialTier(v)
}

// shortValue is the shortest length of a value for which the kernels are called.
const shortValue = 32

package csvfast

// jsonSpecial returns the position of the first byte of v that a JSON string
// must escape (a quote, a backslash, a byte below 0x20), or len(v). Short
// values are read eight bytes at a time on every tier.
func jsonSpecial(v []byte) int {
	if len(v) < shortValue {
		return jsonSpecialGeneric(v)
	}
	return jsonSpecialTier(v)
}

// csvSpecial returns the position of the first byte of v that equals one of
// a, b, CR and LF, or len(v).
func csvSpecial(v []byte, a, b byte) int {
	if len(v) < shortValue {
		return csvSpecialGeneric(v, a, b)
	}
	return csvSpecialTier(v, a, b)
}

// shortValue is the least length of a value that the kernels are called for.
const shortValue = 32

package csvfast

// jsonSpecial returns the position of the first byte of v that a JSON string
// must escape (a quote, a backslash, a byte below 0x20), or len(v).
func jsonSpecial(v []byte) int {
	return jsonSpecialGeneric(v)
}

// csvSpecial returns the position of the first byte of v that equals one of
// a, b, CR and LF, or len(v).
func csvSpecial(v []byte, a, b byte) int {
	return csvSpecialGeneric(v, a, b)
}

package csvfast

import "unicode/utf8"

// validUTF8 reports whether p is valid UTF-8.
func validUTF8(p []byte) bool { return utf8.Valid(p) }

//go:build purego || !amd64

package textform

// TextBlocks has no kernel here.
func TextBlocks([]byte) (bad uint64, ok bool) { return 0, false }

// hasDecodeText reports whether the tier in use has a kernel that decodes long texts.
func hasDecodeText() bool { return false }

func decodeText([]byte, []byte, int, *DecodeTables) bool { return false }

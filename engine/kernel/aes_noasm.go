//go:build purego || !(amd64 || arm64)

package kernel

// cryptWith is HCTR2 of one message with the tier in use, of which there is but one.
func (c *Cipher) cryptWith(t *scratch, dst, src []byte, decrypt bool) {
	c.cryptGeneric(t, dst, src, decrypt)
}

// wideDecode says whether the tier in use has a kernel that decodes long texts.
func wideDecode() bool { return false }

func decodeText([]byte, []byte, int, *decTables) bool { return false }

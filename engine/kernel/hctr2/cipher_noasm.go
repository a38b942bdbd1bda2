//go:build purego || !(amd64 || arm64)

package hctr2

// cryptWith is HCTR2 of one message with the only tier.
func (c *Cipher) cryptWith(t *scratch, dst, src []byte, decrypt bool) {
	c.cryptGeneric(t, dst, src, decrypt)
}

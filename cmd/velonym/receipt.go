package main

import (
	"crypto/ed25519"
	"encoding/base64"
)

// keyText is a public key for people to compare.
func keyText(k ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(k) }

package token

import (
	_ "embed"
	"slices"
)

//go:embed claims.schema.json
var claimsSchema []byte

// ClaimsSchema returns the JSON Schema (draft 2020-12) of a token's claims, for
// issuers. The tests hold the verifier against it.
func ClaimsSchema() []byte { return slices.Clone(claimsSchema) }

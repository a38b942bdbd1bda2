// Package token issues and verifies the signed tokens that grant a caller one
// operation in one key domain: the form of the pseudonyms, an end, and limits
// on use. A token carries policy, never a key.
//
// A token is a JWT in JWS compact form (RFC 7515, RFC 7519) of at most 8 KiB
// whose typ is psn+jwt or JWT. The verifier compares it with the stored project
// and refuses it where the two disagree.
//
// # Verification
//
// [Verifier.Verify] runs the cheap checks first: size, header, cache,
// signature, registered claims, operation against endpoint, project and key
// state, revocation. [Grant.Spend] charges the budget. The cache is keyed by
// the SHA-256 of the whole token and holds verified tokens only. Every hit is
// checked against the clock and the store's change counter, so a verdict never
// depends on when the cache evicts an entry.
//
// # Changes by other processes
//
// A revocation, rotation or severing by any process takes effect within a
// second: one goroutine reads the store's change counter five times a second,
// and every change invalidates the cache. If the counter has not been read for
// a second, cached tokens no longer count as verified and each call asks the
// store; if that fails, the call fails with [ErrUnavailable]. A store that is
// gone therefore stops the service within a second.
//
// # What stays in memory
//
// For every token in use: its claims, its working keys (in locked memory,
// shared by the tokens of a domain and wiped with the last of them), its
// remaining budget, and for the enumeration guard the last number, the step and
// the length of the run. No token text and no other value is kept, except in a
// [LastToken].
package token

// Package token issues and verifies the signed tokens that say what a caller
// may do: which operation, in which key domain, in what form, until when and
// how often. A token carries policy, never a key.
//
// A token is a JWT in JWS compact form (RFC 7515, RFC 7519) of at most 8 KiB,
// typed psn+jwt or JWT (a token without typ is refused). What it asks for is compared with the stored project,
// and where the two disagree the project wins and the token is refused.
//
// # Verification
//
// [Verifier.Verify] goes from cheap to dear: size, header, cache, signature,
// registered claims, operation against endpoint, project and key state,
// revocation. [Grant.Spend] adds the budget. The cache is found by the SHA-256
// of the whole token and holds verified tokens only; every hit is checked
// against the clock and against the store's change counter, so that nothing
// depends on when the cache drops an entry.
//
// # Changes elsewhere
//
// A revocation, a rotation or a severing made by any process is noticed within
// a second: one goroutine reads the store's change counter five times a second,
// and each change invalidates all that was cached. When the counter could not
// be read for a second, cached tokens stop counting as verified and every call
// asks the store again; if that fails too the call fails with [ErrUnavailable].
// It fails closed: a store that is gone stops the service within a second.
//
// # What stays in memory
//
// For every token in use: its claims, its working keys (in locked memory,
// shared by the tokens of a domain, wiped when the last user lets go), its
// remaining budget, and for the enumeration guard the last number seen,
// the step and the length of the run. No token text and no other value is kept.
package token

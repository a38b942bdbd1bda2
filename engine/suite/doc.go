// Package suite is the transform suite a256-1: it turns values into pseudonyms and back.
//
// A [Keys] holds the working keys of one key domain, a [Spec] says how values are
// transformed, a [Plan] joins the two, and [Plan.Transform] runs a [Batch] of values
// through the kernels. The package knows nothing of tokens, stores, files or HTTP: a file
// and a request give the same results because both make the same call.
//
// Reversible pseudonyms are HCTR2-AES-256 (Crowley, Huckleberry, Biggers: IACR ePrint
// 2021/1441) of the padded value, or FF1 (NIST SP 800-38G) for the format-preserving
// forms; irreversible ones are HMAC-SHA-256 cut to 128 bits, or random bits. Working
// keys come from the domain's secrets by HKDF-SHA-256 (RFC 5869).
package suite

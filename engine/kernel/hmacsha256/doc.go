// Package hmacsha256 is HMAC-SHA-256 (RFC 2104, FIPS 180-4) of many values with one call under
// one key, cut to the first 16 bytes, and of one message for deriving keys (RFC 5869).
//
// A key is stored as its two midstates, SHA-256 after the block key ⊕ 0x36… and after key ⊕
// 0x5c…, in key memory. Values are off, len pairs into an arena; a counter of eight bytes may
// precede each. Kernels hash values of the same number of blocks: 16 in parallel on AVX-512, two
// streams on SHA-NI and on ARMv8. The portable twin is crypto/sha256, resumed from the midstates.
//
// Lengths decide branches and addresses; keys, counters and the bytes of values do not.
package hmacsha256

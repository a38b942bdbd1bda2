// Package aes is AES-256 (FIPS 197) over many independent blocks a call, with one key
// expansion and one block kernel per CPU tier, and AES under one key as a
// [crypto/cipher.Block] whose schedule lies in key memory.
//
// A schedule is 15 round keys of 16 bytes. Decryption takes the schedule of the
// equivalent inverse cipher (FIPS 197 section 5.3.5), in the order of its use. Callers
// may add constants to the first and the last round key, as HCTR2 of one block does, since the
// kernels accept any 15 keys.
//
// No branch and no address depends on a key or a block.
package aes

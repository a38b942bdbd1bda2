// Package hctr2 is HCTR2-AES-256 (P. Crowley, N. Huckleberry, E. Biggers, "Length-preserving
// encryption with HCTR2", IACR ePrint 2021/1441; POLYVAL is that of RFC 8452) of many values
// with one call, from values in an arena to texts in rows or at given offsets, and back.
//
// Of a message M ‖ N, M the first 16 bytes, N of any length, with h = AES(0), L = AES(1) and
// X the POLYVAL state after the length block and the tweak:
//
//	MM = M ⊕ Hash(X, N)      UU = AES(MM)      S = MM ⊕ UU ⊕ L
//	V  = N ⊕ AES(S ⊕ 1) ‖ AES(S ⊕ 2) ‖ …
//	U  = UU ⊕ Hash(X, V)     C = U ‖ V
//
// Hash absorbs whole blocks; a last partial block is followed by a 1 byte and zeros, and the
// length block states whether there was one. Decryption replaces AES at UU by its inverse. With
// N empty, Hash(X, N) = X, so that C = X ⊕ AES(X ⊕ M): plain AES with X folded into the
// first and the last round key.
//
// Values are padded to whole blocks (PKCS #7) and given by off, len pairs into an arena. The
// code paths, each with its portable twin in x_generic.go:
//
//	oneblock    1 to 15 bytes: SealRows, SealAt, OpenRows, TranslateRows. On AVX-512 one
//	            kernel reads the arena and writes the rows
//	staged      the same in passes (gather, AES, encode) where registers hold one value;
//	            fused, on AVX2, runs the passes in one kernel
//	multiblock  16 bytes and more, all of one number of blocks: SealBlocksAt, SealBlocksRows,
//	            CryptBlocks. AVX-512 takes 64 messages side by side
//	mixed       any numbers of blocks in one call: SealMixedRows, SealMixedAt
//
// Keys lie in key memory. Branches and addresses depend on the length of a value, on whether
// it is text, and on whether its padding is valid, each after work that depends only on lengths:
// see Open. No other branch and no address depends on keys or values.
package hctr2

// Package textform encodes bytes as text and decodes them, many blocks of 16 bytes with one call:
// pair62, hex, base64url and base32 (RFC 4648 sections 5 and 6, without padding) and UUID (RFC
// 9562). It also determines which bytes are text.
//
// pair62 encodes a byte b as the two characters ⌊b/62⌋ and b mod 62 of a–z A–Z 0–9. Since the
// first is at most 4, the first character of a text can also encode a generation g of 0 to 11, the
// generation mark: it is ⌊b/62⌋ + 5g.
//
// A Writer appends rows, pre ‖ text ‖ post one after the other, or writes texts to given offsets. A
// Reader reads texts of one block. Both hold the tables that the kernels of this package and of
// hctr2 read, whose layout is that of the Go structs: EncodeTables and DecodeTables for registers
// of 64 bytes, PairTables for narrower ones.
//
// Decoding is exact: it refuses every text that no encoder writes. IsText and related functions
// take the same time for every value of a length that holds a byte over 0x7F, valid or not.
package textform

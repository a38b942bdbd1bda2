// Package textform writes bytes as text and reads them back, many blocks of 16 bytes a
// call: pair62, hex, base64url and base32 (RFC 4648 sections 5 and 6, without padding)
// and UUID (RFC 9562). It also tells which bytes are text at all.
//
// pair62 writes a byte b as the two characters ⌊b/62⌋ and b mod 62 of a–z A–Z 0–9. As
// the first is at most 4, the first character of a text has room for a generation g of 0
// to 11: it is ⌊b/62⌋ + 5g.
//
// A Writer lays out rows, pre ‖ text ‖ post one after the other, or writes texts alone to
// places of their own. A Reader reads texts of one block. Both carry the tables that the
// kernels of this package and of hctr2 read, whose layout is that of the Go structs:
// EncodeTables and DecodeTables for registers of 64 bytes, PairTables for narrower ones.
//
// Decoding is exact: whatever no Encode writes is refused. IsText and its like take the
// same time for every value of a length that holds a byte over 0x7F, good or bad.
package textform

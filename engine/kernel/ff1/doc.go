// Package ff1 is the format-preserving cipher FF1 of NIST SP 800-38G (revision 1) with AES-256,
// for values in one alphabet, many values with one call. A value of n characters becomes n
// characters of the same alphabet; the alphabet's own bytes are the tweak.
//
// Values are off, len pairs into an arena. Results are written to given offsets or as rows, pre ‖
// result ‖ post one after the other. Values of one length pass the ten rounds together. On AVX-512
// a kernel transforms 32 values of up to 32 characters, from text to text. On other tiers, and for
// longer values, Go code computes with the halves, and the kernel of package aes encrypts one
// block for each value and round.
//
// Numerals are computed and divisions are multiplications by reciprocals: no branch and no address
// depends on a key or on a value that is transformed. A value that cannot be transformed is
// reported by its index.
package ff1

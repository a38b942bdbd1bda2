// Package ff1 is the format-preserving cipher FF1 of NIST SP 800-38G (revision 1) with
// AES-256, for values written in one alphabet, many values a call. A value of n characters
// becomes n characters of the same alphabet; the alphabet's own bytes are the tweak.
//
// Values are off, len pairs into an arena; results go to places of their own or into rows,
// pre ‖ result ‖ post one after the other. Values of one length go through their ten rounds
// together. On AVX-512, a kernel takes 32 values of up to 32 characters from text to text;
// elsewhere, and for longer values, halves stay in Go and only the block of a round, one a
// value, goes through the kernel of package aes.
//
// Numerals are found by arithmetic and divisions are multiplications by reciprocals: no
// branch and no address depends on a key or on a value that is taken. A value that cannot be
// taken is reported by its index.
package ff1

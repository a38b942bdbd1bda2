// Package hyperloglog estimates how many different values a file holds: HyperLogLog of
// Flajolet, Fusy, Gandouet and Meunier (2007), with 16,384 registers and so a standard
// error of 0.8 %.
//
// A Counter hashes values in batches, by a kernel where the CPU has AVX-512. The hash is
// seeded and not cryptographic. Once all registers have risen, the kernel drops hashes
// that can raise none of them.
package hyperloglog

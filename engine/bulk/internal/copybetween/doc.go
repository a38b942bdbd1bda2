// Package copybetween copies the text between values to its offsets in the output, in which
// results replace the values, and returns the offset of each result. The caller writes the
// results there afterwards.
//
// It requires that the length of a result depends only on the length of its value, so that
// all offsets are known before any result is. The kernels copy whole blocks of 32 or 64
// bytes and let each block overwrite the surplus of the one before, since most gaps between
// values are shorter than a block.
package copybetween

// Package copybetween copies the text that stands between values to where it stands once
// results have replaced the values, and reports where each result belongs. The caller
// writes the results there afterwards.
//
// It applies where the length of a result depends on the length of its value alone, so
// that all places are known before any result is. The kernels copy whole blocks of 32 or
// 64 bytes and let each block overwrite the surplus of the one before, since most gaps
// between values are shorter than a block.
package copybetween

package hctr2

import "github.com/velonym/velonym/internal/simd"

// paths counts, for tests, the paths that values take through this package.
var paths struct {
	rows             simd.Path // SealRows: the kernel of AVX-512
	rowsGroup        simd.Path // SealRows: up to 16 values that it cannot read in place
	fused            simd.Path // SealRows, SealAt: gather, AES and encoding in one
	gather           simd.Path // staged: values read in place
	gatherCopied     simd.Path // staged: values copied first
	writeRows        simd.Path // staged: rows written in place
	writeTail        simd.Path // staged: rows copied from scratch, near the end of dst
	at               simd.Path // SealAt: as rows
	atGroup          simd.Path // SealAt: as rowsGroup
	open             simd.Path // OpenRows: the kernel of AVX-512
	readBlocks       simd.Path // staged: texts decoded by a kernel
	readEach         simd.Path // staged: texts decoded one by one
	translate        simd.Path // TranslateRows: the kernel of AVX-512
	multiBlock       simd.Path // SealBlocksAt: groups read in place
	multiBlockFilled simd.Path // SealBlocksAt: the last group, with repeated values
	multiBlockCopied simd.Path // SealBlocksAt: values copied first
	multiBlockRows   simd.Path // SealBlocksRows
	mixed            simd.Path // SealMixedRows: laid out by a kernel
	mixedAlike       simd.Path // SealMixedRows, SealMixedAt: laid out in Go, of one number of blocks
	mixedSorted      simd.Path // SealMixedRows, SealMixedAt: laid out in Go, sorted by blocks
	cryptWhole       simd.Path // CryptBlocks: a whole group
	cryptTail        simd.Path // CryptBlocks: the last values, copied
}

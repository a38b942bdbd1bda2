package kernel

import "sync/atomic"

// path is one of the ways that values can take through this package. Tests count them,
// so that a differential test fails once it no longer reaches a fast one. A count goes
// up once a call of a kernel or a chunk, never for a value.
type path int

const (
	pathRowsWide      path = iota // SealRows: the kernel of the widest tier
	pathRowsGroup                 // SealRows: up to 16 values that it did not take where they are
	pathRowsFused                 // SealRows, SealAt: gather, AES and encoding in one
	pathGather                    // lanes: values where they are
	pathGatherStaged              // lanes: values copied first
	pathWriteRows                 // lanes: rows written in place
	pathWriteTail                 // lanes: rows written by way of scratch, near the end of dst
	pathAtWide                    // SealAt
	pathAtGroup                   // SealAt: as pathRowsGroup
	pathOpenWide                  // OpenRows
	pathReadBlocks                // lanes: texts decoded by a kernel
	pathReadOne                   // lanes: texts decoded one by one
	pathTranslateWide             // TranslateRows
	pathEncodeAt                  // EncodeAt, lanes
	pathRowsOf                    // Writer.Rows, lanes
	pathDecodeWide                // Form.Decode, lanes
	pathLongDirect                // SealBlocksAt: groups where they are
	pathLongFilled                // SealBlocksAt: the last group, its lanes filled up
	pathLongStaged                // SealBlocksAt: values copied first
	pathLongRows                  // SealBlocksRows
	pathMixed                     // SealMixedRows
	pathCryptWhole                // CryptBlocks: a whole group
	pathCryptTail                 // CryptBlocks: the last values, copied
	pathHMACAlike                 // values of one number of blocks
	pathHMACSorted                // values sorted by their blocks
	pathHMACStreams               // pairs of padded messages
	pathHMACLong                  // values of more blocks than kernels take
	pathFF1Alike                  // a chunk of values of one length
	pathFF1Sorted                 // a chunk of values sorted by length
	pathFF1Whole                  // the kernel from text to text
	pathFF1Mixed                  // a group of it with lanes filled up
	pathFF1Rounds                 // halves of one word, AES side by side
	pathFF1Pairs                  // halves of two words
	pathFF1Gaps                   // rows moved up over those that are refused
	numPaths
)

// counting is set by tests alone, while nothing else here runs.
var (
	counting bool
	pathRuns [numPaths]atomic.Int64
)

func ran(p path) {
	if counting {
		pathRuns[p].Add(1)
	}
}

package suite

// batchPaths counts the code paths that a batch takes, so that a differential test fails
// once its inputs no longer reach a fast path. It counts calls or runs of values; only
// single counts values.
type batchPaths struct {
	preserving, digests         int // tryRows
	oneBlockRows, oneBlockAt    int // runOneBlock, without and with Batch.At
	equalBlocks                 int // equalBlockRows
	mixedBlocks                 int // mixedBlockRows
	staged, refused             int // staged, and calls of it because mixedBlockRows refused
	opened, stagedReverse       int // runOneBlockReverse, stagedReverse
	translated, twoSteps        int // secondary: by one kernel, and in two steps
	deciphered                  int // stagedReverse: groups of one number of blocks
	single                      int // stagedReverse: values that portable did
	piecesCopied, piecesInPlace int // TransformParallel: batches whose pieces were copied to Dst, and those whose pieces were written there
	trimmed                     int // trimSpans
}

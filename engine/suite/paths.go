package suite

// batchPaths counts the ways that a batch has taken. Tests look at them, so that a
// differential test fails once it no longer reaches a fast way. A count goes up once a
// call or a stretch of values; only single counts values.
type batchPaths struct {
	preserved, digests    int // tryRows
	rows, places          int // runOneBlock: one-block values straight from the arena
	long                  int // longRows
	mixed                 int // stagedPlain: values of different numbers of blocks
	staged, refused       int // staged: of values that need preparation, and where stagedPlain could not
	opened, stagedReverse int
	translated, inSteps   int // secondary: by one kernel, and in two steps
	deciphered            int // stagedReverse: groups of one number of blocks
	single                int // stagedReverse: values by the portable way
	moved, placed         int // TransformParallel: pieces that were copied to their places, and those that stood there
	trimmed               int
}

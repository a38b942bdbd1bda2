package csvfast

// The counters of this file count how often each path through the code is taken, so that a
// differential test fails once it no longer reaches a fast path. They count windows, calls
// or buffers, never values or rows.

// selectorPaths counts windows of a Selector by the function that handled them.
type selectorPaths struct {
	plain, single              int
	uniformColumns, uniformAll int // rows of as many fields as the last one
	uniformOpen                int // of these: the window starts within a row of which fields have ended before
	uniformTail                int // of these: the window ends within a row
	byRow                      int // row by row
	byRowOpen                  int // of these: the last row continues in the next window
	openSingle                 int // of byRow: rows of one field, except that the open row has more
	faults                     int // buffers with an error
	partial                    int // buffers of ScanPart
}

// indexerPaths counts calls of the index kernels.
type indexerPaths struct {
	plain, strict [2]int // kernels that stop at quotes, and those that handle them; [1]: for dense input
	endings       int    // ends of input that were padded to a block
}

// boolIndex is 1 for true.
func boolIndex(b bool) int {
	if b {
		return 1
	}
	return 0
}

// readerPaths counts the paths of a Reader.
type readerPaths struct {
	windows int // indexed
	moves   int // of the open row to the other buffer
	grows   int // of the buffer
	byRow   int // rows read byte by byte
}

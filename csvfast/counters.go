package csvfast

// The ways that a scan can take. Tests count them, so that a differential test
// fails once it no longer reaches a fast path. A count goes up once a window, a call
// or a buffer, never for a value or a row.

// selectorPaths counts windows of a Selector, by the function that took them.
type selectorPaths struct {
	plain, singles int
	columns, all   int // with whole rows of an even length
	evenOpen       int // of columns and all: the window starts within a row, whose fields have ended before
	evenTail       int // of columns and all: the window ends within a row
	byRow          int // row by row
	part           int // row by row, and its last row goes on
	openSingle     int // left to byRow: single values, but for the row that is open
	faults         int // buffers with an error
	cut            int // buffers that went on
}

// indexerPaths counts calls of the index kernels.
type indexerPaths struct {
	plain, strict [2]int // those that stop at quotes, those that know them; [1]: for dense input
	endings       int    // ends of input put into a block
}

// boolIndex is 1 for true.
func boolIndex(b bool) int {
	if b {
		return 1
	}
	return 0
}

// readerPaths counts for a Reader.
type readerPaths struct {
	windows int // indexed
	moves   int // of the open row to the other buffer
	grows   int // of the buffer
	byRow   int // rows read byte by byte
}

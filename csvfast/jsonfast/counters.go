package jsonfast

// The ways that a scan can take. Tests count them, so that a differential test
// fails once it no longer reaches a fast path. A count goes up once a window, a call
// or a buffer, never for a value or a row.

// arrayPaths counts for a DataArray.
type arrayPaths struct {
	kernel    int // calls of arrayQuotes
	stopped   int // of these: stopped before a block
	reopened  int // strings that a kernel left open, read again
	cutRunes  int // characters cut by a window
	restarts  int // arrays read again for an error
	pauses    int // runs of items read one by one
	noted     int // windows with escapes
	validated int // windows with bytes from 0x80 up
}

// finderPaths counts for a PathFinder.
type finderPaths struct {
	shaped    int // calls of readShapes that read a line
	failed    int // and those that did not
	full      int // calls that came back for more room
	pauses    int
	refused   int // buffers read again for an error
	learned   int // lines whose shape was new or known
	validated int // calls with bytes from 0x80 up
}

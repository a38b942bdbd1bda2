package jsonfast

// The counters of this file count how often each path through the code is taken, so that a
// differential test fails once it no longer reaches a fast path. They count windows, calls
// or buffers, never values or rows.

// arrayPaths counts the paths of an Array.
type arrayPaths struct {
	kernel    int // calls of arrayQuotes
	stopped   int // of these: calls that stopped before a block
	reopened  int // strings that a kernel did not finish, read again
	cutRunes  int // characters cut by the end of a window
	restarts  int // arrays read again to find an error
	pauses    int // runs of items read one by one
	noted     int // windows with escapes
	validated int // windows with bytes from 0x80 up
}

// finderPaths counts the paths of a PathFinder.
type finderPaths struct {
	shaped    int // calls of readShapes that read a line
	failed    int // calls that read none
	full      int // calls that filled the buffer of values
	pauses    int
	refused   int // buffers read again to find an error
	learned   int // lines of which a shape was learned
	validated int // calls with bytes from 0x80 up
}

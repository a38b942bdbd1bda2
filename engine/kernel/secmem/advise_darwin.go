package secmem

// advise does nothing: macOS has no advice against dumps, and leaves core
// dumps off unless asked for.
func advise([]byte) {}

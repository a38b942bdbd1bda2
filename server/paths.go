package server

import "sync/atomic"

// requestPaths counts which code paths requests take, so that tests can assert that the
// path they are about ran.
type requestPaths struct {
	inlineBody atomic.Int64 // bodies that fit into their call
	pooledBody atomic.Int64 // bodies in a buffer of the pool
	verbatim   atomic.Int64 // chunks of results that stay in the answer as the engine wrote them
	rewritten  atomic.Int64 // chunks that were rewritten value by value
	rawReads   atomic.Int64 // reads of a connection's descriptor: see socket
	rawWrites  atomic.Int64
}

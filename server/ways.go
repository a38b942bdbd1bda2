package server

import "sync/atomic"

// ways counts which way a request took, so that tests can tell that the one they are
// about ran.
type ways struct {
	ownBody    atomic.Int64 // bodies that fit into their call
	pooledBody atomic.Int64 // others
	direct     atomic.Int64 // chunks of results that stand in the answer as the engine wrote them
	rewritten  atomic.Int64 // chunks that were gone over value by value
}

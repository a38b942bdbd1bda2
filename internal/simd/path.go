package simd

import "sync/atomic"

// Path counts how often a fast path is taken, so that a differential test fails once its inputs no
// longer reach it. It counts kernel calls or chunks, never values, and only while CountPaths is on.
type Path struct{ taken atomic.Int64 }

// counting is written only by tests, while no kernel runs.
var counting bool

// CountPaths switches counting on or off. It must not run concurrently with any kernel.
func CountPaths(on bool) { counting = on }

// Take counts the path once more.
func (p *Path) Take() {
	if counting {
		p.taken.Add(1)
	}
}

// Taken returns the count since the last Reset.
func (p *Path) Taken() int64 { return p.taken.Load() }

// Reset sets the count to zero.
func (p *Path) Reset() { p.taken.Store(0) }

//go:build !purego

package jsonfast

import "github.com/velonym/velonym/internal/simd"

// readShapesNEON is readShapes. It reads nothing after p[n-1] and writes up to room values
// to found. Every offset in nodes must be that of a node. It needs NEON.
//
//go:noescape
func readShapesNEON(p *byte, n int, base uint32, nodes *shapeNode, found *shapeValue, room int, st *shapeState)

// readShapes reads lines of the known shapes from p and writes their values to found, with
// offsets counted from base. It stops before a line of another shape, a line that ends less than
// shapePadding bytes before the end of p, and a line whose values do not fit into found.
func readShapes(p []byte, base uint32, nodes []shapeNode, found []shapeValue, st *shapeState) {
	if simd.Active() == simd.ARM64 {
		readShapesNEON(&p[0], len(p), base, &nodes[0], &found[0], len(found), st)
		return
	}
	readShapesGeneric(p, base, nodes, found, st)
}

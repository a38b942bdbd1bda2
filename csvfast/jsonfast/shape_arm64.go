//go:build !purego

package jsonfast

import "github.com/velonym/velonym/internal/simd"

// readShapesNEON is readShapes. It reads nothing behind p[n-1]; nodes holds a
// tree whose offsets lead to nodes of it, found has room for room values. Needs
// ASIMD.
//
//go:noescape
func readShapesNEON(p *byte, n int, base uint32, nodes *shapeNode, found *shapeValue, room int, st *shapeState)

// readShapes reads lines of the known shapes from p and writes their values,
// offsets counted from base. It stops before a line that it cannot read, that
// comes close to the end of p, or for whose values there is no room.
func readShapes(p []byte, base uint32, nodes []shapeNode, found []shapeValue, st *shapeState) {
	if simd.Active() == simd.ARM64 {
		readShapesNEON(&p[0], len(p), base, &nodes[0], &found[0], len(found), st)
		return
	}
	readShapesGeneric(p, base, nodes, found, st)
}

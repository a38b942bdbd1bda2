//go:build !purego

package jsonfast

import "github.com/velonym/velonym/internal/simd"

// readShapesAVX512 is readShapes. It reads nothing after p[n-1] and writes up to room
// values to found. Every offset in nodes must be that of a node. It needs AVX512F, AVX512BW, AVX2
// and BMI1.
//
//go:noescape
func readShapesAVX512(p *byte, n int, base uint32, nodes *shapeNode, found *shapeValue, room int, st *shapeState)

// readShapesAVX2 is readShapesAVX512 with AVX2 and BMI1.
//
//go:noescape
func readShapesAVX2(p *byte, n int, base uint32, nodes *shapeNode, found *shapeValue, room int, st *shapeState)

// readShapes reads lines of the known shapes from p and writes their values to found, with
// offsets counted from base. It stops before a line of another shape, a line that ends less than
// shapePadding bytes before the end of p, and a line whose values do not fit into found.
func readShapes(p []byte, base uint32, nodes []shapeNode, found []shapeValue, st *shapeState) {
	switch simd.Active() {
	case simd.AVX512:
		readShapesAVX512(&p[0], len(p), base, &nodes[0], &found[0], len(found), st)
	case simd.AVX2:
		readShapesAVX2(&p[0], len(p), base, &nodes[0], &found[0], len(found), st)
	default:
		readShapesGeneric(p, base, nodes, found, st)
	}
}

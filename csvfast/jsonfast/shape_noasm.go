//go:build purego || !(amd64 || arm64)

package jsonfast

// readShapes reads lines of the known shapes from p and writes their values to found, with
// offsets counted from base. It stops before a line of another shape, a line that ends less than
// shapePadding bytes before the end of p, and a line whose values do not fit into found.
func readShapes(p []byte, base uint32, nodes []shapeNode, found []shapeValue, st *shapeState) {
	readShapesGeneric(p, base, nodes, found, st)
}

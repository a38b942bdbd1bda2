//go:build purego || !(amd64 || arm64)

package jsonfast

// readShapes reads lines of the known shapes from p and writes their values,
// offsets counted from base. It stops before a line that it cannot read, that
// comes close to the end of p, or for whose values there is no room.
func readShapes(p []byte, base uint32, nodes []shapeNode, found []shapeValue, st *shapeState) {
	readShapesGeneric(p, base, nodes, found, st)
}

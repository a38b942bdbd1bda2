//go:build purego || !(amd64 || arm64)

package csvfast

func (st *indexState) plain(p []byte, base uint32, out []uint32, dense bool) int {
	return st.plainGeneric(p, base, out)
}

func (st *indexState) strict(p []byte, base uint32, out []uint32, dense bool) int {
	return st.strictGeneric(p, base, out)
}

func entrySpans(ents []uint32, base uint32, out []uint32) { entrySpansGeneric(ents, base, out) }

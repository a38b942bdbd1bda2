//go:build purego || !(amd64 || arm64)

package jsonfast

func arrayQuotesTier(p []byte, blocks int, base uint32, out []uint32, notes []arrayNote, st *arrayState) int {
	return arrayQuotesGeneric(p, blocks, base, out, notes, st)
}

func arraySpansTier([]uint32) int { return 0 }

// Command index writes the kernels of csvfast's structural index. index.go of that package
// describes what they compute, index_amd64.go and index_arm64.go which memory they may read
// and write.
//
//	go run ./index avx512 > ../../index_avx512_amd64.s
package main

import (
	"fmt"
	"os"
)

func main() {
	tier := ""
	if len(os.Args) == 2 {
		tier = os.Args[1]
	}
	switch tier {
	case "avx512":
		avx512()
	case "avx2":
		avx2()
	case "neon":
		neon(os.Stdout)
	default:
		fmt.Fprintln(os.Stderr, "usage: index avx512|avx2|neon")
		os.Exit(2)
	}
}

// Offsets of the fields of csvfast's indexState. TestLayout of that package compares them
// with the struct.
const (
	stInside   = 0
	stQuoted   = 8
	stDoubled  = 16
	stMayOpen  = 24
	stClosed   = 32
	stClosedCR = 40
	stBad      = 48
	stQuotes   = 56
	stDoubles  = 64
	stRows     = 72
	stLines    = 80
	stBlocks   = 88
	stComma    = 96
	stQuote    = 104
)

// Offsets of the fields of blockMasks, which the arm64 kernel writes in pairs.
const masksAll, masksNl, masksQ, masksIn, masksSize = 0, 8, 16, 24, 32

// Flags in the byte of a compressed entry, which becomes the highest byte of the entry.
const (
	flagRow     = 0x80
	flagQuoted  = 0x40
	flagDoubled = 0x20
)

// signature is that of the index kernels; st is an *indexState.
const signature = "func(p *byte, blocks int, base uint32, out *uint32, st *uint64) int"

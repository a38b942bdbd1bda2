// Command textform generates the kernels of text forms: for AVX-512 the check of text and
// the reading of long texts of pairs, for AVX2 and NEON texts of one block.
//
//	go run ./textform -kernel text|pairs -out ../../textform/x_amd64.s
//	go run ./textform -kernel neon > ../../textform/x_arm64.s
package main

import (
	"flag"

	. "github.com/mmcloughlin/avo/build"
)

var kernel = flag.String("kernel", "text", "text (AVX-512), pairs (AVX2) or neon")

func main() {
	flag.Parse()
	if *kernel == "neon" {
		pairsNEON()
		return
	}
	ConstraintExpr("!purego")
	if *kernel == "pairs" {
		pairs()
	} else {
		textBlocks()
		decodeText()
	}
	Generate()
}

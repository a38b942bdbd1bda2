// Command staged generates the kernels of HCTR2 for registers that hold one value: gather
// pads values into blocks, polyval hashes, and for AVX2 the fused kernels turn values into
// texts in one call.
//
//	go run ./staged -kernel gather|polyval|fused -out ../../hctr2/x_amd64.s
//	go run ./staged -kernel neon-gather|neon-polyval > ../../hctr2/x_arm64.s
package main

import (
	"flag"
	"os"

	. "github.com/mmcloughlin/avo/build"

	"github.com/velonym/velonym/engine/kernel/internal/asm/neon"
)

var kernel = flag.String("kernel", "gather", "gather, polyval, fused, neon-gather or neon-polyval")

func main() {
	flag.Parse()
	switch *kernel {
	case "neon-gather":
		p := neon.New(os.Stdout, "staged")
		defer p.Flush()
		neonGather(p)
		return
	case "neon-polyval":
		p := neon.New(os.Stdout, "staged")
		defer p.Flush()
		neonPolyval(p)
		return
	}
	ConstraintExpr("!purego")
	switch *kernel {
	case "gather":
		gather()
	case "polyval":
		polyval()
	case "fused":
		fused()
	}
	Generate()
}

// Command lanes generates the kernels of the tiers whose registers hold one value: the
// first and last passes over one-block values (gather, encode, decode), and for AVX2
// the whole way forward in one.
//
//	go run ./lanes -kernel passes|seal -out ../../x_amd64.s
//	go run ./lanes -kernel neon > ../../x_arm64.s
package main

import "flag"

var kernel = flag.String("kernel", "passes", "passes, seal or neon")

func main() {
	flag.Parse()
	switch *kernel {
	case "neon":
		arm64()
	case "seal":
		seals()
	default:
		amd64()
	}
}

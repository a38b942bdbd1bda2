// Command lanes generates the first and last passes over one-block values of the tiers
// whose registers hold one value: gather, encode, decode.
//
//	go run ./lanes -out ../../x_amd64.s
//	go run ./lanes arm64 > ../../x_arm64.s
package main

import "os"

func main() {
	if len(os.Args) == 2 && os.Args[1] == "arm64" {
		arm64()
		return
	}
	amd64()
}

package bench

import (
	"os"
	"runtime/pprof"
)

// profiled writes a CPU profile of the measured server to the file that
// VELONYM_BENCH_PROFILE names, until the returned function is called.
func profiled() (stop func()) {
	name := os.Getenv("VELONYM_BENCH_PROFILE")
	if name == "" {
		return func() {}
	}
	f, err := os.Create(name)
	if err != nil || pprof.StartCPUProfile(f) != nil {
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}
}

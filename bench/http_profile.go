package bench

import (
	"os"
	"runtime/pprof"
)

// profiled starts a CPU profile of the measured server if VELONYM_BENCH_PROFILE names a
// file for it. stop ends the profile.
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

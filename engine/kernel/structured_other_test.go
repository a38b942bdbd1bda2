//go:build purego || !amd64

package kernel

func cpuHasSHA() bool { return true }

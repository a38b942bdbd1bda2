//go:build !purego

package kernel

func cpuHasSHA() bool { return cpuSHA }

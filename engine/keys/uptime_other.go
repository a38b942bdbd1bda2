//go:build !linux

package keys

func machineUptime() uptime { return processUptime() }

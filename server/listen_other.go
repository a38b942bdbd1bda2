//go:build !linux

package server

import "net"

// dropSYN returns false: this system has no socket filters.
func dropSYN(*net.TCPListener) bool { return false }

package server

import (
	"net"

	"golang.org/x/sys/unix"
)

// dropSYN attaches a filter to a listening socket that drops segments with SYN and without
// ACK, so that no new connection begins while handshakes under way complete. A client
// whose SYN is dropped sends it again and finds the port closed. It reports whether the
// system took the filter.
func dropSYN(ln *net.TCPListener) bool {
	const (
		flags = 13 // offset of the flags in the TCP header, at which the filter starts
		syn   = 0x02
		ack   = 0x10
	)
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: syn | ack},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	c, err := ln.SyscallConn()
	if err != nil {
		return false
	}
	var failed error
	err = c.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
	return err == nil && failed == nil
}

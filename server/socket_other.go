//go:build !linux

package server

import "net"

// socket is never used: connections are read and written by package net.
type socket struct{}

const maxRawCall = 0

func newSocket(net.Conn) *socket { return nil }

func (*socket) read([]byte) (int, error)       { panic("server: no socket") }
func (*socket) write(a, b []byte) (int, error) { panic("server: no socket") }

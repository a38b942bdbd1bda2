//go:build !unix

package postgres

import "syscall"

func otherUser(string) (*syscall.SysProcAttr, error) { return nil, nil }

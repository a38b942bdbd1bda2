//go:build !linux

package main

// harden does nothing: what Linux has for it is not known here.
func harden() {}

// dumps says whether the system may dump this process.
func dumps() string { return "as the system is set" }

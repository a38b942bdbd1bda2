//go:build !linux

package main

// memoryFolder returns "": this is implemented for Linux only.
func memoryFolder() string { return "" }

package keys

import (
	"bytes"
	"os"
	"strconv"
	"unsafe"
)

// eraseEnvBlock overwrites the value of an environment variable in the environment block
// of the process, which the kernel shows as /proc/PID/environ. It does nothing if the
// kernel does not tell where the block is.
func eraseEnvBlock(name string) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return
	}
	// The program's name, in parentheses, may contain spaces.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const first, last = 50 - 3, 51 - 3 // env_start and env_end of proc(5), after the third field
	if len(fields) <= last {
		return
	}
	begin, err := strconv.ParseUint(string(fields[first]), 10, 64)
	if err != nil || begin == 0 {
		return
	}
	end, err := strconv.ParseUint(string(fields[last]), 10, 64)
	if err != nil || end <= begin {
		return
	}
	block := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), uintptr(begin))), end-begin)
	for rest := block; len(rest) > 0; {
		entry := rest
		if n := bytes.IndexByte(rest, 0); n >= 0 {
			entry, rest = rest[:n], rest[n+1:]
		} else {
			rest = nil
		}
		if value, ok := bytes.CutPrefix(entry, []byte(name+"=")); ok {
			wipe(value)
		}
	}
}

package thrift

import (
	"bytes"
	"testing"
)

// FuzzValue checks that a value that is read is written as it was, and that damaged
// input is an error.
func FuzzValue(f *testing.F) {
	f.Add([]byte{0x15, 4, 0x19, 0x2c, 0x48, 1, 'a', 0, 0, 0x11, 0})
	f.Add([]byte{0x1b, 1, 0x88, 1, 'k', 1, 'v', 0x12, 0x19, 0x21, 1, 2, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		v, n, err := Read(in)
		if err != nil {
			return
		}
		b := v.Append(nil)
		w, m, err := Read(b)
		if err != nil || m != len(b) {
			t.Fatalf("%x of %x is not read again: %v", b, in[:n], err)
		}
		if again := w.Append(nil); !bytes.Equal(b, again) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

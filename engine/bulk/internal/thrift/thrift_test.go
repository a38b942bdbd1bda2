package thrift

import (
	"bytes"
	"testing"
)

// FuzzValue checks that reading and writing a value gives the same bytes, and that damaged
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
			t.Fatalf("%x, written for %x, cannot be read: %v", b, in[:n], err)
		}
		if again := w.Append(nil); !bytes.Equal(b, again) {
			t.Fatalf("%x, read and written, became %x", b, again)
		}
	})
}

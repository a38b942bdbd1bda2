package hctr2

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/engine/kernel/internal/structured"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// openSlowly applies the rules of Open from the end of the message.
func openSlowly(m []byte, zeros byte, text bool) (int, bool) {
	pad := int(m[len(m)-1])
	if pad < 1 || pad > 16 || zeros != 0 {
		return 0, false
	}
	v := m[:len(m)-pad]
	if !bytes.Equal(m[len(v):], bytes.Repeat([]byte{byte(pad)}, pad)) || text && !structured.IsText(v) {
		return 0, false
	}
	return len(v), true
}

// TestOpen compares Open with the rules: strings around the limits of UTF-8 at every offset of one
// and two blocks, with valid padding, and with a byte of the message changed.
func TestOpen(t *testing.T) {
	simdtest.Alone(t)
	r := rand.New(rand.NewPCG(8, 8))
	good := 0
	check := func(m []byte, zeros byte, text bool) {
		t.Helper()
		n, ok := Open(bytes.Clone(m), zeros, text)
		if wantN, want := openSlowly(m, zeros, text); n != wantN || ok != want {
			t.Fatalf("Open(%q, %d, %v) = %d, %v, want %d, %v", m, zeros, text, n, ok, wantN, want)
		} else if ok && text {
			good++
		}
		if zeros != 0 || !text || len(m) != 16 {
			return
		}
		if n2, ok2 := openBlock((*[16]byte)(m)); n2 != n || ok2 != ok {
			t.Fatalf("openBlock(%q) = %d, %v, want %d, %v", m, n2, ok2, n, ok)
		}
	}
	structured.EdgeTexts(func(v []byte) {
		size := 16
		if r.IntN(3) == 0 {
			size = 32
		}
		// v is somewhere among letters, or at the end.
		m := make([]byte, size)
		for i := range m {
			m[i] = byte('a' + r.IntN(26))
		}
		v = v[:min(len(v), 15)]
		end := r.IntN(size)
		if size == 32 {
			end = 16 + r.IntN(16)
		}
		end = max(end, len(v))
		copy(m[end-len(v):], v)
		for i := end; i < size; i++ {
			m[i] = byte(size - end)
		}
		if size-end > 16 {
			return
		}
		check(m, 0, true)
		check(m, 0, false)
		check(m, byte(r.Uint32()), r.IntN(2) == 0)
		m[r.IntN(size)] = byte(r.Uint32())
		check(m, 0, true)
		check(m, 0, false)
	})
	// Every last byte, in blocks of that byte and of another.
	for pad := range 256 {
		for _, other := range []byte{byte(pad), 'x', 0, 0x80} {
			m := bytes.Repeat([]byte{other}, 32)
			for i := range 17 {
				m[31-max(0, i-1)] = byte(pad)
				check(m[16:], 0, true)
				check(m, 0, false)
			}
		}
	}
	if good < 10000 {
		t.Fatalf("only %d messages were accepted", good)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("Zo\xc3\xab, 1815\x05\x05\x05\x05\x05"), byte(0))
	f.Add([]byte("\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10"), byte(0))
	f.Add([]byte("\xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82 \x03\x03\x03"), byte(1))
	f.Fuzz(func(t *testing.T, m []byte, zeros byte) {
		m = m[:len(m)&^15]
		if len(m) == 0 {
			return
		}
		for _, text := range []bool{false, true} {
			n, ok := Open(m, zeros, text)
			if wantN, want := openSlowly(m, zeros, text); n != wantN || ok != want {
				t.Fatalf("Open(%q, %d, %v) = %d, %v, want %d, %v", m, zeros, text, n, ok, wantN, want)
			}
		}
	})
}

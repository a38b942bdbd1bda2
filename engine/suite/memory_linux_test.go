package suite

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/kernel"
)

// TestNoKeyBytesStay looks for working keys, and what is expanded from them, in all
// writable memory of the process: the first while they are in use, where they must lie
// in key memory alone, all after their release, when they must be nowhere.
func TestNoKeyBytesStay(t *testing.T) {
	// The keys of this domain, derived by other code; stored inverted, so that the
	// test does not find its own copies.
	secret := [32]byte{}
	for i := range secret {
		secret[i] = byte(200 - 3*i)
	}
	k, err := NewKeys("memory", "", []Secret{{Gen: 0, Active: true, S: secret}})
	if err != nil {
		t.Fatal(err)
	}
	var needles [][]byte // inverted
	for p := range purposes {
		needles = append(needles, inverted(k.key(0, p)[:16]), inverted(k.key(0, p)[16:]))
	}
	work := func() {
		for _, name := range kernel.Kernels() {
			if err := kernel.SetKernel(name); err != nil {
				t.Fatal(err)
			}
			for _, s := range allSpecs() {
				p, err := NewPlan(Pseudonymise, s, k)
				if err != nil {
					t.Fatal(err)
				}
				b := batchOf([][]byte{[]byte("1234567890123"), []byte("a value of more than one block")})
				b.Doc = p.NewDocument()
				p.Transform(b)
				p.Close()
			}
		}
		kernel.SetKernel("auto")
	}
	work()
	places := func() int {
		n := 0
		for _, x := range needles {
			n += occurrences(t, x)
		}
		return n
	}
	if places() == 0 {
		t.Fatal("the search does not find keys that are in use")
	}
	k.Release()
	runtime.GC()
	if n := places(); n > 0 {
		t.Errorf("keys are found at %d places after their release", n)
	}
}

func inverted(b []byte) []byte {
	x := bytes.Clone(b)
	for i := range x {
		x[i] ^= 0xff
	}
	return x
}

// occurrences counts the inverse of x in the heap and all other private memory but the
// stacks of threads that are not ours.
func occurrences(t *testing.T, x []byte) int {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	n := 0
	buf := make([]byte, 1<<20)
	for _, line := range strings.Split(string(maps), "\n") {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		const overlap = 64
		for at := from; at < to; at += int64(len(buf) - overlap) {
			k, err := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			if err != nil && k == 0 {
				break
			}
			part := buf[:k]
			for i := range part {
				if part[i]^0xff == x[0] && match(part[i:], x) {
					n++
				}
			}
			clear(part)
		}
	}
	return n
}

func match(b, x []byte) bool {
	if len(b) < len(x) {
		return false
	}
	var d byte
	for i, c := range x {
		d |= b[i] ^ c ^ 0xff
	}
	return d == 0
}

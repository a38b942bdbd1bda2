package secmem

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"
)

// TestKeyMemoryIsWiped checks that a freed slot is wiped, and that its next owner gets zeros.
func TestKeyMemoryIsWiped(t *testing.T) {
	hold, err := Alloc(200) // keeps the slab mapped while we look behind
	if err != nil {
		t.Fatal(err)
	}
	defer Free(hold)
	before := Status().InUse
	b, err := Alloc(200)
	if err != nil {
		t.Fatal(err)
	}
	if p := uintptr(unsafe.Pointer(&b[0])); p%64 != 0 {
		t.Fatalf("slot at %#x is not aligned", p)
	}
	if got := Status().InUse - before; got != 256 {
		t.Fatalf("a slot for 200 bytes has %d, want 256", got)
	}
	whole := b[:cap(b)]
	for i := range whole {
		whole[i] = 0xA5
	}
	Free(b)
	if !bytes.Equal(whole, make([]byte, len(whole))) {
		t.Fatal("freed key memory is not zero")
	}
	again, err := Alloc(129)
	if err != nil {
		t.Fatal(err)
	}
	defer Free(again)
	if &again[0] != &whole[0] {
		t.Fatal("the freed slot was not used again")
	}
	if Status().InUse-before != 256 {
		t.Fatal("InUse is not what it was before")
	}
}

// TestKeyMemoryStaysOffTheHeap checks that Alloc and Free allocate nothing on the heap.
func TestKeyMemoryStaysOffTheHeap(t *testing.T) {
	hold, err := New[[512]byte]()
	if err != nil {
		t.Fatal(err)
	}
	defer Delete(hold)
	n := testing.AllocsPerRun(1000, func() {
		p, err := New[[512]byte]()
		if err != nil {
			t.Fatal(err)
		}
		p[0] = 1
		Delete(p)
	})
	if n != 0 {
		t.Fatalf("%v heap allocations", n)
	}
}

// TestKeyMemoryMisuse checks that freeing twice, freeing other memory and freeing a part of a slot
// panic.
func TestKeyMemoryMisuse(t *testing.T) {
	hold, err := Alloc(64)
	if err != nil {
		t.Fatal(err)
	}
	defer Free(hold)
	b, err := Alloc(64)
	if err != nil {
		t.Fatal(err)
	}
	Free(b)
	for name, bad := range map[string][]byte{"twice": b, "heap": make([]byte, 64), "inside": hold[1:]} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			Free(bad)
		}()
	}
}

// TestKeyMemoryConcurrent lets goroutines fill slots of many sizes, and checks that no other writes
// into them and that all memory is freed.
func TestKeyMemoryConcurrent(t *testing.T) {
	before := Status().InUse
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(1, uint64(g)))
			live := map[int][]byte{}
			for i := range 3000 {
				k := r.IntN(40)
				if b, ok := live[k]; ok {
					for _, x := range b {
						if x != byte(g<<6|k) {
							t.Errorf("slot of goroutine %d overwritten", g)
							return
						}
					}
					Free(b)
					delete(live, k)
					continue
				}
				b, err := Alloc(1 + r.IntN(1<<uint(r.IntN(18))))
				if err != nil {
					t.Error(err)
					return
				}
				if i%7 == 0 && !bytes.Equal(b, make([]byte, len(b))) {
					t.Error("a new slot is not zero")
				}
				for j := range b {
					b[j] = byte(g<<6 | k)
				}
				live[k] = b
			}
			for _, b := range live {
				Free(b)
			}
		}()
	}
	wg.Wait()
	if s := Status(); s.InUse != before || s.Unlocked > s.Mapped || (s.Unlocked > 0) != (s.LockErr != nil) && s.LockErr == nil {
		t.Fatalf("after all were freed: %+v, before %d in use", s, before)
	}
}

package kernel

import (
	"bytes"
	"crypto/aes"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"
)

// TestKeyMemoryIsWiped frees slots full of key and looks at what is left, and
// at what the next owner of the place gets.
func TestKeyMemoryIsWiped(t *testing.T) {
	hold, err := keyAlloc(200) // keeps the chunk mapped while we look behind
	if err != nil {
		t.Fatal(err)
	}
	defer keyFree(hold)
	before := KeyMemoryStatus().InUse
	b, err := keyAlloc(200)
	if err != nil {
		t.Fatal(err)
	}
	if p := uintptr(unsafe.Pointer(&b[0])); p%64 != 0 {
		t.Fatalf("slot at %#x is not aligned", p)
	}
	if got := KeyMemoryStatus().InUse - before; got != 256 {
		t.Fatalf("a slot of 200 bytes takes %d", got)
	}
	whole := b[:cap(b)]
	for i := range whole {
		whole[i] = 0xA5
	}
	keyFree(b)
	if !bytes.Equal(whole, make([]byte, len(whole))) {
		t.Fatal("freed key memory is not zero")
	}
	again, err := keyAlloc(129)
	if err != nil {
		t.Fatal(err)
	}
	defer keyFree(again)
	if &again[0] != &whole[0] {
		t.Fatal("the freed slot was not used again")
	}
	if KeyMemoryStatus().InUse-before != 256 {
		t.Fatal("the balance does not hold")
	}
}

// TestKeyMemoryStaysOffTheHeap counts heap allocations of alloc and free.
func TestKeyMemoryStaysOffTheHeap(t *testing.T) {
	hold, err := keyNew[[512]byte]()
	if err != nil {
		t.Fatal(err)
	}
	defer keyDelete(hold)
	n := testing.AllocsPerRun(1000, func() {
		p, err := keyNew[[512]byte]()
		if err != nil {
			t.Fatal(err)
		}
		p[0] = 1
		keyDelete(p)
	})
	if n != 0 {
		t.Fatalf("%v heap allocations", n)
	}
}

// TestKeyMemoryMisuse frees twice, frees what is not ours, and inside a slot.
func TestKeyMemoryMisuse(t *testing.T) {
	hold, err := keyAlloc(64)
	if err != nil {
		t.Fatal(err)
	}
	defer keyFree(hold)
	b, err := keyAlloc(64)
	if err != nil {
		t.Fatal(err)
	}
	keyFree(b)
	for name, bad := range map[string][]byte{"twice": b, "heap": make([]byte, 64), "inside": hold[1:]} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			keyFree(bad)
		}()
	}
}

// TestKeyMemoryConcurrent lets goroutines fill slots of many sizes, checks that
// nobody else writes into them, and that everything is given back.
func TestKeyMemoryConcurrent(t *testing.T) {
	before := KeyMemoryStatus().InUse
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
					keyFree(b)
					delete(live, k)
					continue
				}
				b, err := keyAlloc(1 + r.IntN(1<<uint(r.IntN(18))))
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
				keyFree(b)
			}
		}()
	}
	wg.Wait()
	if s := KeyMemoryStatus(); s.InUse != before || s.Unlocked > s.Mapped || (s.Unlocked > 0) != (s.LockErr != nil) && s.LockErr == nil {
		t.Fatalf("after all were freed: %+v, before %d in use", s, before)
	}
}

// TestKeyCipher holds the moved cipher against the one that crypto/aes makes.
func TestKeyCipher(t *testing.T) {
	for _, n := range []int{16, 24, 32} {
		key := make([]byte, n)
		for i := range key {
			key[i] = byte(i * 7)
		}
		c, err := newKeyCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		want, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		var a, b [16]byte
		for range 100 {
			c.Encrypt(a[:], a[:])
			want.Encrypt(b[:], b[:])
			if a != b {
				t.Fatal("encrypts differently")
			}
		}
		c.Decrypt(a[:], a[:])
		want.Decrypt(b[:], b[:])
		if a != b {
			t.Fatal("decrypts differently")
		}
		c.release()
	}
	if _, err := newKeyCipher(make([]byte, 5)); err == nil {
		t.Fatal("a key of 5 bytes was taken")
	}
}

package suite

import (
	"bytes"
	"hash/maphash"
)

// Document counts the occurrences of every value in one document, for policy document. It
// keeps each distinct value once, in memory. One goroutine at a time uses it.
type Document struct {
	seed  maphash.Seed
	slots []int32 // index into seen + 1; a power of two of them, at most three quarters used
	seen  []occurrence
	chars []byte
}

type occurrence struct {
	hash uint64
	off  int
	n    uint64 // occurrences so far
	len  int32
}

func newDocument() *Document {
	return &Document{seed: maphash.MakeSeed(), slots: make([]int32, 64)}
}

// next counts an occurrence of v and returns the number of earlier ones.
func (d *Document) next(v []byte) uint64 {
	h := maphash.Bytes(d.seed, v)
	i := int(h) & (len(d.slots) - 1)
	for d.slots[i] != 0 {
		o := &d.seen[d.slots[i]-1]
		if o.hash == h && bytes.Equal(d.chars[o.off:o.off+int(o.len)], v) {
			o.n++
			return o.n - 1
		}
		i = (i + 1) & (len(d.slots) - 1)
	}
	d.seen = append(d.seen, occurrence{hash: h, off: len(d.chars), len: int32(len(v)), n: 1})
	d.chars = append(d.chars, v...)
	d.slots[i] = int32(len(d.seen))
	if len(d.seen)*4 > len(d.slots)*3 {
		d.grow()
	}
	return 0
}

func (d *Document) grow() {
	slots := make([]int32, 2*len(d.slots))
	for j, o := range d.seen {
		i := int(o.hash) & (len(slots) - 1)
		for slots[i] != 0 {
			i = (i + 1) & (len(slots) - 1)
		}
		slots[i] = int32(j + 1)
	}
	d.slots = slots
}

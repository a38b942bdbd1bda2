//go:build !purego && (amd64 || arm64)

package kernel

import (
	"encoding/binary"
	"sync"
)

// What the kernels share: values are sorted by length, and those of one length
// go through a round together. Where the CPU can do no more, the halves stay in
// Go and only the blocks of a round, one a value, go through AES at once.

const (
	ff1Chunk = 512 // values sorted at a time
	ff1Lanes = 32  // values that go through a round together
)

// ff1Sort is the working memory of a call.
type ff1Sort struct {
	order    [ff1Chunk]uint16  // places of values in the chunk, by length
	codes    [ff1Chunk]FF1Code // what is wrong with them
	starts   [ff1MaxLen + 2]int
	from, to [ff1Chunk]uint32 // offsets of values and results
	who      [ff1Chunk]uint16 // and whose they are
	a, c     [ff1Lanes]uint64 // halves
	blocks   [ff1Lanes][16]byte
}

var ff1Sorts = sync.Pool{New: func() any { return new(ff1Sort) }}

func (f *FF1) run(dst []byte, at []uint32, base []byte, spans []uint32, bad []FF1Error, dec bool) []FF1Error {
	if active == tierGeneric {
		return f.generic(dst, at, base, spans, bad, dec)
	}
	s, one := ff1Sorts.Get().(*ff1Sort), ff1Scratches.Get().(*ff1Scratch)
	for first := 0; first < len(spans)/2; first += ff1Chunk {
		n := min(len(spans)/2-first, ff1Chunk)
		part := spans[2*first : 2*(first+n)]
		var places []uint32
		if at != nil {
			places = at[first : first+n]
		}
		clear(s.codes[:n])
		s.sort(part)
		for l := 1; l <= ff1MaxLen+1; l++ {
			values := s.order[s.starts[l-1]:s.starts[l]]
			if len(values) == 0 {
				continue
			}
			for j, i := range values {
				s.from[j], s.who[j] = part[2*i], i
				s.to[j] = s.from[j]
				if places != nil {
					s.to[j] = places[i]
				}
			}
			if !f.Takes(l) || l-l/2 > f.r.limb {
				for _, i := range values {
					off, n := part[2*i], part[2*i+1]
					to := off
					if places != nil {
						to = places[i]
					}
					s.codes[i] = f.one(one, dst[to:to+n], base[off:off+n], dec)
				}
				continue
			}
			f.bucket(s, one, dst, base, len(values), l, dec)
		}
		for i, code := range s.codes[:n] {
			if code != 0 {
				bad = append(bad, FF1Error{first + i, code})
			}
		}
	}
	clear(s.a[:])
	clear(s.c[:])
	clear(s.blocks[:])
	ff1Sorts.Put(s)
	one.release()
	return bad
}

// sort fills order and starts: values of l bytes are order[starts[l-1]:starts[l]],
// those of more than ff1MaxLen come last and those without a byte first.
func (s *ff1Sort) sort(spans []uint32) {
	n := len(spans) / 2
	differ := uint32(0)
	for i := 1; i < n && differ == 0; i++ {
		differ = spans[2*i+1] ^ spans[1]
	}
	if differ == 0 {
		l := min(int(spans[1]), ff1MaxLen+1)
		for i := range s.starts {
			s.starts[i] = 0
			if i >= l {
				s.starts[i] = n
			}
		}
		for i := range n {
			s.order[i] = uint16(i)
		}
		return
	}
	var next [ff1MaxLen + 3]int
	for i := range n {
		next[min(int(spans[2*i+1]), ff1MaxLen+1)+1]++
	}
	for l := range s.starts {
		next[l+1] += next[l]
		s.starts[l] = next[l+1]
	}
	for i := range n {
		l := min(int(spans[2*i+1]), ff1MaxLen+1)
		s.order[next[l]] = uint16(i)
		next[l]++
	}
}

// rounds transforms values of one length whose halves are words: s.from, s.to
// and s.who say where and whose.
func (f *FF1) rounds(s *ff1Sort, one *ff1Scratch, dst, base []byte, from, to []uint32, who []uint16, n int, dec bool) {
	r := f.r
	u, v := n/2, n-n/2
	b, d := r.widthOf(n)
	if n <= ff1Chained {
		one.chain = f.k.chain[n]
	} else {
		f.makeChain(&one.chain, n)
	}
	hi, lo := binary.BigEndian.Uint64(one.chain[:8]), binary.BigEndian.Uint64(one.chain[8:])
	upper, shift := uint64(b/8), uint(8*b)&63
	for len(who) > 0 {
		// Good values take lanes, in order; bad ones none.
		lanes, taken := 0, 0
		var places [ff1Lanes]uint32
		for lanes < ff1Lanes && taken < len(who) {
			if f.text.numerals(one.num[:], base[from[taken]:][:n]) {
				s.a[lanes], s.c[lanes] = r.join(one.num[:u]), r.join(one.num[u:n])
				places[lanes] = to[taken]
				lanes++
			} else {
				s.codes[who[taken]] = FF1Character
			}
			taken++
		}
		from, to, who = from[taken:], to[taken:], who[taken:]
		if lanes == 0 {
			continue
		}
		a, c := s.a[:lanes], s.c[:lanes]
		even, odd := &r.pow[u], &r.pow[v]
		if dec {
			a, c = c, a
			even, odd = odd, even
		}
		for k := range 10 {
			i := uint64(k)
			if dec {
				i = 9 - i
			}
			h, l := hi^i*upper, lo^i*(1-upper)<<shift
			for j, x := range c {
				binary.BigEndian.PutUint64(s.blocks[j][:8], h)
				binary.BigEndian.PutUint64(s.blocks[j][8:], l^x)
			}
			aesBlocks(&f.k.rounds[0], f.k.lastKey, &s.blocks[0][0], lanes)
			for j := range a {
				y := binary.BigEndian.Uint64(s.blocks[j][:8])
				if d == 8 {
					y = even.modWord(y)
				} else {
					y = even.mod(y>>32, y<<32|uint64(binary.BigEndian.Uint32(s.blocks[j][8:])))
				}
				if dec {
					a[j] = even.subMod(a[j], y)
				} else {
					a[j] = even.addMod(a[j], y)
				}
			}
			a, c = c, a
			even, odd = odd, even
		}
		if dec {
			a, c = c, a
		}
		for j := range lanes {
			r.split(one.num[:u], a[j])
			r.split(one.num[u:n], c[j])
			f.text.characters(dst[places[j]:][:n], one.num[:])
		}
	}
}

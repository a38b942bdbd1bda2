package ff1

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

// EncryptRows appends pre, the ciphertext and post of every value to dst, and writes off, len in dst
// of each ciphertext to out, which must have a pair for each. The row of an empty value, or of one
// that cannot be transformed, consists of pre and post, with len 0; the latter are appended to bad
// as by Encrypt. dst must not overlap arena. Bytes past the length of dst, within its capacity,
// are undefined afterwards. It allocates only to grow dst and bad.
func (f *Cipher) EncryptRows(pre, post string, dst, arena []byte, spans, out []uint32, bad []Error) ([]byte, []Error) {
	return f.rows(pre, post, dst, arena, spans, out, bad, false)
}

// DecryptRows is EncryptRows for Decrypt.
func (f *Cipher) DecryptRows(pre, post string, dst, arena []byte, spans, out []uint32, bad []Error) ([]byte, []Error) {
	return f.rows(pre, post, dst, arena, spans, out, bad, true)
}

// rowsChunk is the number of rows that are laid out before their values are written. They fit in the
// first-level cache.
const rowsChunk = 1024

var rowPlaces = sync.Pool{New: func() any { return new([rowsChunk]uint32) }}

// rows lays out the rows as if all values could be transformed, since their lengths are known, and
// then removes the gaps of those that cannot.
func (f *Cipher) rows(pre, post string, dst, arena []byte, spans, out []uint32, bad []Error, dec bool) ([]byte, []Error) {
	total := len(spans) / 2
	if len(out) < 2*total {
		panic(fmt.Sprintf("ff1: batch of %d values: room for %d", total, len(out)/2))
	}
	var frame [2][4]byte
	small := copy(frame[0][:], pre) == len(pre) && copy(frame[1][:], post) == len(post)
	before, behind := binary.LittleEndian.Uint32(frame[0][:]), binary.LittleEndian.Uint32(frame[1][:])
	places := rowPlaces.Get().(*[rowsChunk]uint32)
	for first := 0; first < total; first += rowsChunk {
		n := min(total-first, rowsChunk)
		part, at, res := spans[2*first:2*(first+n)], places[:n], out[2*first:2*(first+n)]
		size := n * (len(pre) + len(post))
		read := uint64(0) // end
		for i := 1; i < len(part); i += 2 {
			size += int(part[i])
			read = max(read, uint64(part[i-1])+uint64(part[i]))
		}
		if read > uint64(len(arena)) {
			panic(fmt.Sprintf("ff1: batch of %d values: %d bytes of %d", n, read, len(arena)))
		}
		p := len(dst)
		dst = slices.Grow(dst, size+4)[:p+size+4]
		for i := range at {
			l := part[2*i+1]
			if small {
				// The value or the next row overwrites excess bytes.
				binary.LittleEndian.PutUint32(dst[p:], before)
			} else {
				copy(dst[p:], pre)
			}
			p += len(pre)
			at[i] = uint32(p)
			res[2*i], res[2*i+1] = uint32(p), l
			p += int(l)
			if small {
				binary.LittleEndian.PutUint32(dst[p:], behind)
			} else {
				copy(dst[p:], post)
			}
			p += len(post)
		}
		dst = dst[:p]
		known := len(bad)
		bad = f.run(dst, at, arena, part, bad, dec)
		if known == len(bad) {
			continue
		}
		paths.closedUp.Take()
		p = int(at[bad[known].Index]) - len(pre)
		for i := bad[known].Index; i < n; i++ {
			from, l := int(at[i]), int(res[2*i+1])
			if known < len(bad) && bad[known].Index == i {
				bad[known].Index += first
				known++
				l = 0
			}
			p += copy(dst[p:], pre)
			res[2*i], res[2*i+1] = uint32(p), uint32(l)
			p += copy(dst[p:], dst[from:from+l])
			p += copy(dst[p:], post)
		}
		dst = dst[:p]
	}
	rowPlaces.Put(places)
	return dst, bad
}

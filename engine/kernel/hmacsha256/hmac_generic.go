package hmacsha256

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"errors"
	stdhash "hash"
	"sync"

	"github.com/velonym/velonym/engine/kernel/secmem"
)

// sha256Saved is the length of a SHA-256 state as crypto/sha256 marshals it: a
// magic of 4 bytes, the 8 words big endian, a block of unhashed bytes, and the
// number of bytes hashed.
const sha256Saved = 4 + 32 + 64 + 8

// sha256State is a crypto/sha256 hash with buffers that would otherwise escape to the heap for every
// value.
type sha256State struct {
	stdhash.Hash
	restore encoding.BinaryUnmarshaler
	sum     [32]byte
	counter [8]byte
}

var sha256States = sync.Pool{New: func() any {
	d := sha256.New()
	return &sha256State{Hash: d, restore: d.(encoding.BinaryUnmarshaler)}
}}

// expand fills k with the midstates of a key of any length.
func (k *midstates) expand(key []byte) error {
	pad, err := secmem.Alloc(64)
	if err != nil {
		return err
	}
	defer secmem.Free(pad)
	d := sha256.New()
	defer d.Reset() // overwrites the state with the initial one
	if len(key) > len(pad) {
		d.Write(key)
		d.Sum(pad[:0])
		d.Reset()
	} else {
		copy(pad, key)
	}
	for i := range pad {
		pad[i] ^= 0x36
	}
	if err := saveState(d, pad, &k.innerSaved, &k.words[0], &k.fours[0]); err != nil {
		return err
	}
	d.Reset()
	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	return saveState(d, pad, &k.outerSaved, &k.words[1], &k.fours[1])
}

// saveState writes SHA-256 after one block to saved, words and fours.
func saveState(d stdhash.Hash, block []byte, saved *[sha256Saved]byte, words, fours *[8]uint32) error {
	d.Write(block) // a whole block is hashed in place, not copied
	m, ok := d.(encoding.BinaryAppender)
	if !ok {
		return errors.New("hmacsha256: crypto/sha256 does not append its state")
	}
	s, err := m.AppendBinary(saved[:0])
	if err != nil {
		return err
	}
	if len(s) != len(saved) || &s[0] != &saved[0] {
		panic("hmacsha256: crypto/sha256 marshals its state in another form than Go 1.26")
	}
	for i := range words {
		words[i] = binary.BigEndian.Uint32(saved[4+4*i:])
	}
	*fours = [8]uint32{words[5], words[4], words[1], words[0], words[7], words[6], words[3], words[2]}
	return nil
}

// sumGeneric is the specification of HMAC.Sum. Bounds are checked.
func sumGeneric(k *midstates, dst, base []byte, spans []uint32, counters []uint64) {
	d := sha256States.Get().(*sha256State)
	for i := 0; i < len(spans)/2; i++ {
		if d.restore.UnmarshalBinary(k.innerSaved[:]) != nil {
			panic("hmacsha256: crypto/sha256 refuses its own state")
		}
		if counters != nil {
			binary.BigEndian.PutUint64(d.counter[:], counters[i])
			d.Write(d.counter[:])
		}
		off, n := spans[2*i], spans[2*i+1]
		d.Write(base[off : off+n])
		d.Sum(d.sum[:0])
		if d.restore.UnmarshalBinary(k.outerSaved[:]) != nil {
			panic("hmacsha256: crypto/sha256 refuses its own state")
		}
		d.Write(d.sum[:])
		d.Sum(d.sum[:0])
		copy(dst[16*i:16*i+16], d.sum[:])
	}
	d.Reset() // no midstate stays in the heap
	clear(d.sum[:])
	sha256States.Put(d)
}

// DeriveKey writes the HMAC-SHA-256 of msg under key, of at most 64 bytes, to out. HKDF (RFC 5869)
// consists of such steps. It puts the messages to hash, padding included, into key memory in whole
// blocks: crypto/sha256 hashes whole blocks in place, but copies a partial block to memory that
// nobody wipes. Its error means that the system has no memory left.
func DeriveKey(out *[32]byte, key, msg []byte) error {
	return secmem.Scrubbed(func() error { return deriveKey(out, key, msg) })
}

func deriveKey(out *[32]byte, key, msg []byte) error {
	if len(key) > 64 {
		panic("hmacsha256: key to derive from is longer than a block")
	}
	size := (64 + len(msg) + 9 + 63) / 64 * 64
	m, err := secmem.Alloc(size + sha256Saved)
	if err != nil {
		return err
	}
	defer secmem.Free(m)
	m, saved := m[:size], (*[sha256Saved]byte)(m[size:])
	d := sha256.New()
	defer d.Reset() // overwrites the state with the initial one
	var words [2][8]uint32
	defer clear(words[:])
	for _, pad := range []byte{0x36, 0x5c} {
		n := 64
		if pad == 0x36 {
			n += copy(m[64:], msg)
		} else {
			n += copy(m[64:], saved[4:36]) // the inner hash
		}
		for i := range 64 {
			m[i] = pad
			if i < len(key) {
				m[i] ^= key[i]
			}
		}
		end := (n + 9 + 63) / 64 * 64
		clear(m[n:end])
		m[n] = 0x80
		binary.BigEndian.PutUint64(m[end-8:], uint64(n)*8)
		d.Reset()
		if err := saveState(d, m[:end], saved, &words[0], &words[1]); err != nil {
			return err
		}
	}
	copy(out[:], saved[4:36])
	return nil
}

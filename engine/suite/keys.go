package suite

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/velonym/velonym/engine/kernel/ff1"
	"github.com/velonym/velonym/engine/kernel/hctr2"
	"github.com/velonym/velonym/engine/kernel/hmacsha256"
	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/spec"
)

// Secret is one living generation of a domain. The active one makes new pseudonyms.
type Secret struct {
	Gen    int
	Active bool
	S      [32]byte
}

// The purposes of working keys, in their order in Keys.mem.
const (
	purposeRev = iota
	purposeMac
	purposeDoc
	purposeFPE
	purposes
)

var purposeNames = [purposes]string{"rev", "mac", "doc", "fpe"}

// Keys holds the working keys of one key domain, and the ciphers that plans derive from
// them, in locked memory. It is reference-counted: NewKeys returns it with one reference,
// every open plan holds one, and the last Release wipes it. It is safe for concurrent use.
type Keys struct {
	refs   atomic.Int64
	mem    []byte // working keys: generation × purpose × 32 bytes
	living [MaxGenerations]bool
	newest []int // living generations, newest first
	active int   // -1: none

	mu      sync.Mutex
	ciphers map[cipherID]*hctr2.Cipher
	macs    map[macID]*hmacsha256.HMAC
	fpes    map[fpeID]*ff1.Cipher
}

type cipherID struct {
	gen, tag int
	policy   spec.Policy
}

type macID struct{ gen, purpose int }

type fpeID struct {
	gen      int
	alphabet string
}

// NewKeys derives the working keys of the domain (prj, org), each at most 255 bytes,
// from the secrets of its living generations, of which at most one is active
// (HKDF-SHA-256, RFC 5869). It does not keep the secrets: the caller wipes them.
func NewKeys(prj, org string, secrets []Secret) (*Keys, error) {
	if len(prj) > 255 || len(org) > 255 {
		return nil, errors.New("suite: names of project and organisation are at most 255 bytes")
	}
	if len(secrets) == 0 {
		return nil, errors.New("suite: a key domain needs a living generation")
	}
	k := &Keys{
		active:  -1,
		ciphers: map[cipherID]*hctr2.Cipher{},
		macs:    map[macID]*hmacsha256.HMAC{},
		fpes:    map[fpeID]*ff1.Cipher{},
	}
	for i := range secrets {
		s := &secrets[i] // no copy of the secret
		switch {
		case s.Gen < 0 || s.Gen >= MaxGenerations:
			return nil, errors.New("suite: generations are numbered 0 to 11")
		case k.living[s.Gen]:
			return nil, fmt.Errorf("suite: generation %d given twice", s.Gen)
		case s.Active && k.active >= 0:
			return nil, errors.New("suite: two active generations")
		case s.Active:
			k.active = s.Gen
		}
		k.living[s.Gen] = true
	}
	for g := MaxGenerations - 1; g >= 0; g-- {
		if k.living[g] {
			k.newest = append(k.newest, g)
		}
	}
	mem, err := secmem.Alloc(MaxGenerations * purposes * 32)
	if err != nil {
		return nil, err
	}
	k.mem = mem
	for i := range secrets {
		if err := k.derive(&secrets[i], prj, org); err != nil {
			secmem.Free(mem)
			return nil, err
		}
	}
	k.refs.Store(1)
	return k, nil
}

// derive derives the working keys of one generation: HKDF (RFC 5869) with one step of
// expansion per key.
func (k *Keys) derive(s *Secret, prj, org string) error {
	mem, err := secmem.Alloc(32)
	if err != nil {
		return err
	}
	defer secmem.Free(mem)
	prk := (*[32]byte)(mem)
	if err := hmacsha256.DeriveKey(prk, []byte("velonym/a256-1"), s.S[:]); err != nil {
		return err
	}
	for p, name := range purposeNames {
		info := make([]byte, 0, 3*2+3+2*255+1)
		for _, x := range []string{name, prj, org} {
			info = append(info, byte(len(x)>>8), byte(len(x)))
			info = append(info, x...)
		}
		if err := hmacsha256.DeriveKey(k.key(s.Gen, p), prk[:], append(info, 1)); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keys) key(gen, purpose int) *[32]byte {
	return (*[32]byte)(k.mem[(gen*purposes+purpose)*32:])
}

// Retain adds a reference. The caller must hold one already.
func (k *Keys) Retain() {
	if k.refs.Add(1) < 2 {
		panic("suite: keys retained after their release")
	}
}

// Release drops a reference. The last one wipes every key.
func (k *Keys) Release() {
	switch n := k.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("suite: keys released too often")
	}
	for _, c := range k.ciphers {
		c.Release()
	}
	for _, m := range k.macs {
		m.Release()
	}
	for _, f := range k.fpes {
		f.Release()
	}
	secmem.Free(k.mem)
	k.ciphers, k.macs, k.fpes, k.mem = nil, nil, nil, nil
}

// cipher returns the HCTR2 cipher of a generation for a policy and a tag. It is valid as
// long as k.
func (k *Keys) cipher(gen int, policy spec.Policy, tag int) (*hctr2.Cipher, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := cipherID{gen, tag, policy}
	if c := k.ciphers[id]; c != nil {
		return c, nil
	}
	c, err := hctr2.New(k.key(gen, purposeRev), []byte{1, policyNumber(policy), byte(tag / 8)})
	if err != nil {
		return nil, err
	}
	k.ciphers[id] = c
	return c, nil
}

func (k *Keys) mac(gen, purpose int) (*hmacsha256.HMAC, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := macID{gen, purpose}
	if m := k.macs[id]; m != nil {
		return m, nil
	}
	m, err := hmacsha256.New(k.key(gen, purpose))
	if err != nil {
		return nil, err
	}
	k.macs[id] = m
	return m, nil
}

func (k *Keys) fpe(gen int, alphabet string) (*ff1.Cipher, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := fpeID{gen, alphabet}
	if f := k.fpes[id]; f != nil {
		return f, nil
	}
	f, err := ff1.New(k.key(gen, purposeFPE), alphabet)
	if err != nil {
		return nil, err
	}
	k.fpes[id] = f
	return f, nil
}

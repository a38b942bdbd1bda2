package suite

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/velonym/velonym/engine/kernel/ff1"
	"github.com/velonym/velonym/engine/kernel/hctr2"
	"github.com/velonym/velonym/engine/kernel/hmacsha256"
	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/engine/spec"
)

// Plan is an operation, a spec and the keys of one or two domains, ready to run. It is
// immutable and safe for concurrent use until Close.
type Plan struct {
	op      spec.Op
	forward forward  // Pseudonymise, Secondary
	reverse backward // Reverse, Secondary
	trim    bool     // Reverse, Secondary: White_Space at the ends of pseudonyms goes first
	halves  *[2]Plan // Secondary: reverse and forward, for values that kernels do not translate
	keys    []*Keys
	writer  atomic.Pointer[textform.Writer] // the last one used
	random  func([]byte)                    // fills with random bytes: policy different; replaced by tests

	ownOnce sync.Once  // of own
	own     *ownDomain // Recognise
}

// forward is what makes pseudonyms.
type forward struct {
	spec         Spec
	form         textform.Form
	gen          int
	irreversible bool
	prefix       int              // bytes before the value in the message
	cipher       *hctr2.Cipher    // reversible, not format-preserving
	mac          *hmacsha256.HMAC // irreversible, same and document
	fpe          *fpe             // format-preserving
}

// backward is what reads them.
type backward struct {
	spec    Spec
	form    textform.Form
	prefix  int
	ciphers [MaxGenerations]*hctr2.Cipher // of living generations
	try     []int                         // forms without a mark: generations to try, in order
	fpe     *fpe
}

// NewPlan plans op Pseudonymise or Reverse of spec s under the keys k, which it
// retains until Close. Pseudonyms are made by the active generation alone, so a Gen
// that is not active is refused for Pseudonymise; an irreversible Reverse is refused.
//
// Reverse finds the generation by the mark of pair62, which may be any living one;
// other forms are read with s.Gen, else the active one; with tag 64 or 128 all living
// generations are tried, newest first. Of s.Norm it takes Trim: pseudonyms lose
// White_Space at their ends, which CHAR columns of databases add.
func NewPlan(op spec.Op, s Spec, k *Keys) (*Plan, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return newPlan(op, s, k)
}

// newPlan is NewPlan without the check of combinations, for vectors.
func newPlan(op spec.Op, s Spec, k *Keys) (*Plan, error) {
	p := &Plan{op: op, random: secmem.Random}
	var err error
	switch op {
	case spec.Pseudonymise:
		p.forward, err = newForward(s, k)
	case spec.Reverse:
		p.reverse, err = newBackward(s, k)
		p.trim = slices.Contains(s.Norm, Trim)
	default:
		err = errors.New("suite: a plan of one spec is to pseudonymise or to reverse")
	}
	if err != nil {
		return nil, err
	}
	p.retain(k)
	return p, nil
}

// NewSecondary plans the change from pseudonyms of one domain to pseudonyms of another:
// reverse as src says under srcKeys, then forward as dst says under dstKeys as if the
// value had been given, normalisation included; a Trim in it is for the pseudonyms too.
// It retains both until Close.
func NewSecondary(src Spec, srcKeys *Keys, dst Spec, dstKeys *Keys) (*Plan, error) {
	for _, s := range []Spec{src, dst} {
		if err := s.Validate(); err != nil {
			return nil, err
		}
	}
	p := &Plan{op: spec.Secondary, random: secmem.Random}
	var err error
	if p.reverse, err = newBackward(src, srcKeys); err != nil {
		return nil, err
	}
	if p.forward, err = newForward(dst, dstKeys); err != nil {
		return nil, err
	}
	p.trim = slices.Contains(dst.Norm, Trim)
	p.halves = new([2]Plan)
	first, second := &p.halves[0], &p.halves[1]
	first.op, first.reverse = spec.Reverse, p.reverse
	second.op, second.forward = spec.Pseudonymise, p.forward
	second.random = func(b []byte) { p.random(b) }
	p.retain(srcKeys, dstKeys)
	return p, nil
}

func (p *Plan) retain(ks ...*Keys) {
	for _, k := range ks {
		k.Retain()
	}
	p.keys = ks
}

// Close releases the keys. The plan must not be used again.
func (p *Plan) Close() {
	for _, k := range p.keys {
		k.Release()
	}
	p.keys = nil
}

func prefixLen(s Spec) int {
	n := s.Tag / 8
	if s.Policy != spec.Same {
		n += 16
	}
	return n
}

func newForward(s Spec, k *Keys) (f forward, err error) {
	f = forward{spec: s, form: kernelForm(s.Form), gen: s.Gen, irreversible: s.Method == spec.Irreversible}
	switch {
	case k.active < 0:
		return f, errors.New("suite: the key domain has no active generation")
	case f.gen < 0:
		f.gen = k.active
	case f.gen != k.active:
		return f, errors.New("suite: new pseudonyms are made by the active generation alone: leave gen out")
	}
	switch {
	case s.Form.Preserving():
		f.fpe, err = newFPE(k, f.gen, s.Form.Alphabet())
	case s.Method == spec.Reversible:
		f.prefix = prefixLen(s)
		f.cipher, err = k.cipher(f.gen, s.Policy, s.Tag)
	case s.Policy == spec.Same:
		f.mac, err = k.mac(f.gen, purposeMac)
	case s.Policy == spec.PerDocument:
		f.mac, err = k.mac(f.gen, purposeDoc)
	}
	return f, err
}

func newBackward(s Spec, k *Keys) (r backward, err error) {
	r = backward{spec: s, form: kernelForm(s.Form), prefix: prefixLen(s)}
	if s.Method != spec.Reversible {
		return r, errors.New("suite: an irreversible pseudonym cannot be reversed")
	}
	gen := s.Gen
	if gen < 0 {
		gen = k.active
	}
	if gen >= 0 && !k.living[gen] {
		return r, errors.New("suite: the generation asked for is destroyed")
	}
	if s.Form.Preserving() {
		if gen < 0 {
			return r, errors.New("suite: the key domain has no active generation: name one")
		}
		r.fpe, err = newFPE(k, gen, s.Form.Alphabet())
		return r, err
	}
	switch {
	case r.form.Marked():
	case s.Tag > 0:
		r.try = k.newest
	case gen < 0:
		return r, errors.New("suite: the key domain has no active generation: name one")
	default:
		r.try = []int{gen}
	}
	for _, g := range k.newest {
		if r.ciphers[g], err = k.cipher(g, s.Policy, s.Tag); err != nil {
			return r, err
		}
	}
	return r, nil
}

// OutLen returns the length of the result of an n-byte value where it depends on n
// alone: forward without norm, in every form, and secondary without norm unless one
// side is format-preserving. Otherwise it is -1. A value that is refused has no result
// whatever OutLen says; one that is refused for its length alone has 0.
func (p *Plan) OutLen(n int) int {
	if n == 0 {
		return 0
	}
	f := &p.forward
	if p.op == spec.Reverse || p.trim || len(f.spec.Norm) > 0 {
		return -1
	}
	padded := (n + 16) &^ 15 // length of value ‖ pad
	if p.op == spec.Secondary {
		if f.fpe != nil || p.reverse.fpe != nil {
			return -1
		}
		c := p.reverse.form.DecodedLen(n)
		if !p.reverse.lengthOK(c) {
			return 0
		}
		padded = c - p.reverse.prefix
	} else if n > maxValue {
		return 0
	}
	switch {
	case f.fpe != nil:
		if !f.fpe.key.Takes(n) {
			return 0
		}
		return n
	case f.irreversible:
		return f.form.EncodedLen(16)
	case f.form == textform.UUID && f.prefix+padded != 16:
		return 0
	}
	return f.form.EncodedLen(f.prefix + padded)
}

// MaxOut returns the most bytes that the results of so many values take together, if
// the values have size bytes together.
func (p *Plan) MaxOut(values, size int) int {
	f := &p.forward
	switch {
	case p.op == spec.Reverse:
		return size // every form is at least as long as its value
	case len(f.spec.Norm) > 0:
		return values*maxShortOut + 6*size // normalised values have up to three times the length
	case p.op == spec.Secondary || f.fpe != nil:
		return values*maxShortOut + 2*size
	}
	return values*p.OutLen(1) + 2*size // no form takes more than two characters a byte
}

// maxShortOut is the longest result of a value of one byte, the longest prefix included.
const maxShortOut = 96

// KeepsLength reports whether every result is as long as its value: forward without
// norm in a format-preserving form.
func (p *Plan) KeepsLength() bool {
	return p.op == spec.Pseudonymise && p.forward.fpe != nil && len(p.forward.spec.Norm) == 0
}

// KnowsLength reports whether the length of a value tells that of its result: whether
// OutLen is not -1.
func (p *Plan) KnowsLength() bool { return p.OutLen(1) >= 0 }

// Deterministic reports whether equal values get equal results; under policy document
// their n-th occurrences in each document do.
func (p *Plan) Deterministic() bool {
	return p.op == spec.Reverse || p.forward.spec.Policy != spec.Different
}

// Alphabet returns the characters of format-preserving pseudonyms that the plan makes;
// other pseudonyms hold letters, digits, - and _ alone, and for plans that make them,
// and those that reverse, it is "".
func (p *Plan) Alphabet() string {
	if p.op == spec.Reverse {
		return ""
	}
	return p.forward.spec.Form.Alphabet()
}

// ReadsPseudonyms says whether the values given to the plan are pseudonyms whose
// characters are as good as random: those of all forms but the format-preserving.
func (p *Plan) ReadsPseudonyms() bool {
	return p.op != spec.Pseudonymise && !p.reverse.spec.Form.Preserving()
}

// Blank counts the values of White_Space alone that the plan's normalisation empties:
// like empty ones, which it does not count, they stay empty and are no values. It is 0
// for plans that normalise nothing.
func (p *Plan) Blank(src []byte, spans []uint32) (n int) {
	if !p.trim && (p.op != spec.Pseudonymise || !p.forward.spec.Norm.empties()) {
		return 0
	}
	for i := 0; i < len(spans); i += 2 {
		if v := src[spans[i]:][:spans[i+1]]; len(v) > 0 && isBlank(v) {
			n++
		}
	}
	return n
}

// NewDocument returns the counters of one document for policy document, nil for other
// policies. A document is used in order, by one goroutine at a time.
func (p *Plan) NewDocument() *Document {
	if p.op == spec.Reverse || p.forward.spec.Policy != spec.PerDocument {
		return nil
	}
	return newDocument()
}

// fpe is FF1 over an alphabet.
type fpe struct {
	key    *ff1.Cipher
	inside [256]bool
}

func newFPE(k *Keys, gen int, alphabet string) (*fpe, error) {
	key, err := k.fpe(gen, alphabet)
	if err != nil {
		return nil, err
	}
	f := &fpe{key: key}
	for i := range len(alphabet) {
		f.inside[alphabet[i]] = true
	}
	return f, nil
}

// refuses says why v cannot be transformed, 0 if it can: a foreign character before a
// wrong length.
func (f *fpe) refuses(v []byte) Code {
	outside := false
	for _, c := range v {
		outside = outside || !f.inside[c]
	}
	switch {
	case outside:
		return ValueNotInAlphabet
	case !f.key.Takes(len(v)):
		return ValueLength
	}
	return 0
}

// append transforms v and appends the result.
func (f *fpe) append(w *work, dst, v []byte, decrypt bool) ([]byte, Code) {
	if code := f.refuses(v); code != 0 {
		return dst, code
	}
	start := len(dst)
	dst = append(dst, v...)
	if decrypt {
		f.key.Decrypt(dst[start:], nil, dst[start:], w.spanOf(v), nil)
	} else {
		f.key.Encrypt(dst[start:], nil, dst[start:], w.spanOf(v), nil)
	}
	return dst, 0
}

// message appends the HCTR2 message of v to dst: prefix, value, padding. r is the
// first 12 bytes of the prefix of policies different and document.
func (f *forward) message(dst []byte, r *[12]byte, v []byte) []byte {
	if f.spec.Policy != spec.Same {
		dst = append(dst, r[:]...)
		dst = append(dst, 0, 0, 0, 0)
	}
	for range f.spec.Tag / 8 {
		dst = append(dst, 0)
	}
	dst = append(dst, v...)
	pad := 16 - len(v)%16
	for range pad {
		dst = append(dst, byte(pad))
	}
	return dst
}

// counter is k of policy document in the prefix's form.
func counter(k uint64) (r [12]byte) {
	binary.BigEndian.PutUint64(r[4:], k)
	return r
}

// lengthOK says whether C can have n bytes.
func (r *backward) lengthOK(n int) bool {
	n -= r.prefix
	return n >= 16 && n%16 == 0 && n <= (maxValue+16)&^15
}

// open checks a decrypted message and returns the length of the value behind the
// prefix. All checks are made whatever each finds.
func (r *backward) open(m []byte) (n int, ok bool) {
	var zeros byte
	if r.spec.Policy != spec.Same {
		zeros = m[12] | m[13] | m[14] | m[15]
	}
	for _, b := range m[r.prefix-r.spec.Tag/8 : r.prefix] {
		zeros |= b
	}
	return hctr2.Open(m[r.prefix:], zeros, r.spec.Tag == 0)
}

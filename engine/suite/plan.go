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

// Plan is an operation with its spec and the keys of one or two domains. It is immutable
// and safe for concurrent use until Close.
type Plan struct {
	op      spec.Op
	forward forward  // Pseudonymise, Secondary
	reverse backward // Reverse, Secondary
	trim    bool     // Reverse, Secondary: White_Space at the ends of pseudonyms is removed first
	halves  *[2]Plan // Secondary: reverse and forward, for values that kernels do not translate
	keys    []*Keys
	writer  atomic.Pointer[textform.Writer] // the one used last
	random  func([]byte)                    // fills a slice with random bytes, for policy different; tests replace it

	ownOnce sync.Once  // initialises own
	own     *ownDomain // Recognise
}

// forward makes pseudonyms.
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

// backward reads pseudonyms.
type backward struct {
	spec    Spec
	form    textform.Form
	prefix  int
	ciphers [MaxGenerations]*hctr2.Cipher // of living generations
	try     []int                         // generations to try, in order, for forms that do not name theirs
	fpe     *fpe
}

// NewPlan returns a plan of op, Pseudonymise or Reverse, and spec s under the keys k,
// which it retains until Close. Only the active generation makes pseudonyms, so
// Pseudonymise refuses another s.Gen. Reverse refuses an irreversible spec.
//
// Reverse takes the generation from the first pair of pair62, which may name any living one.
// It reads other forms with s.Gen, or with the active generation if that is negative; with
// tag 64 or 128 it tries all living generations, newest first. Of s.Norm it applies only
// Trim: it removes the White_Space at the ends of pseudonyms that CHAR columns of databases
// add.
func NewPlan(op spec.Op, s Spec, k *Keys) (*Plan, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return newPlan(op, s, k)
}

// newPlan is NewPlan without s.Validate, for vectors.
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

// NewSecondary returns a plan that turns pseudonyms of one domain into pseudonyms of
// another: it reverses them by src under srcKeys and pseudonymises the values, with
// normalisation, by dst under dstKeys. A Trim in dst.Norm applies to the pseudonyms too.
// The plan retains both keys until Close.
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

// OutLen returns the length of the result of an n-byte value if it depends on n alone:
// forward without norm, and secondary without norm unless one side is format-preserving.
// Otherwise it returns -1. It returns 0 for lengths that are refused. A value that is
// refused for another reason has no result, whatever OutLen returns.
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

// MaxOut returns the most bytes of the results of a number of values with size bytes in
// all.
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

// maxShortOut is the longest result of a value of one byte with the longest prefix.
const maxShortOut = 96

// KeepsLength reports whether every result is as long as its value: forward without
// norm in a format-preserving form.
func (p *Plan) KeepsLength() bool {
	return p.op == spec.Pseudonymise && p.forward.fpe != nil && len(p.forward.spec.Norm) == 0
}

// KnowsLength reports whether the length of a value determines that of its result: OutLen
// is not -1.
func (p *Plan) KnowsLength() bool { return p.OutLen(1) >= 0 }

// Op returns the plan's operation.
func (p *Plan) Op() spec.Op { return p.op }

// Deterministic reports whether equal values get equal results; under policy document
// their n-th occurrences in each document do.
func (p *Plan) Deterministic() bool {
	return p.op == spec.Reverse || p.forward.spec.Policy != spec.Different
}

// Alphabet returns the characters of the format-preserving pseudonyms that the plan makes.
// It returns "" for plans that reverse and for those that make other pseudonyms, which
// hold only letters, digits, - and _.
func (p *Plan) Alphabet() string {
	if p.op == spec.Reverse {
		return ""
	}
	return p.forward.spec.Form.Alphabet()
}

// ReadsPseudonyms reports whether the values of the plan are pseudonyms of a form that is
// not format-preserving, whose characters are practically random.
func (p *Plan) ReadsPseudonyms() bool {
	return p.op != spec.Pseudonymise && !p.reverse.spec.Form.Preserving()
}

// Blank counts the values of White_Space alone that the plan's normalisation empties. Like
// empty values, which it does not count, they stay empty and do not count as values. It
// returns 0 for plans that normalise nothing.
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
// policies. The batches of a document must be transformed in order.
func (p *Plan) NewDocument() *Document {
	if p.op == spec.Reverse || p.forward.spec.Policy != spec.PerDocument {
		return nil
	}
	return newDocument()
}

// fpe is FF1 over an alphabet.
type fpe struct {
	key        *ff1.Cipher
	inAlphabet [256]bool
}

func newFPE(k *Keys, gen int, alphabet string) (*fpe, error) {
	key, err := k.fpe(gen, alphabet)
	if err != nil {
		return nil, err
	}
	f := &fpe{key: key}
	for i := range len(alphabet) {
		f.inAlphabet[alphabet[i]] = true
	}
	return f, nil
}

// refuses returns why v cannot be transformed, 0 if it can. A foreign character comes
// before a wrong length.
func (f *fpe) refuses(v []byte) Code {
	outside := false
	for _, c := range v {
		outside = outside || !f.inAlphabet[c]
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

// counter returns the count k of policy document as the prefix holds it.
func counter(k uint64) (r [12]byte) {
	binary.BigEndian.PutUint64(r[4:], k)
	return r
}

// lengthOK reports whether a ciphertext can have n bytes.
func (r *backward) lengthOK(n int) bool {
	n -= r.prefix
	return n >= 16 && n%16 == 0 && n <= (maxValue+16)&^15
}

// open checks a decrypted message and returns the length of the value after the prefix.
// It makes every check, whatever the others find.
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

package suite

import (
	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/spec"
)

// Finding is what Inspect finds about a value as a pseudonym of a key domain.
type Finding struct {
	// WellFormed reports whether an encoder of the domain can have made the value. If not,
	// the other fields have no meaning.
	WellFormed bool
	Form       spec.Form // its form
	Generation int       // the one that made it; -1: the value does not name it, and no living generation reads the value
	State      GenState
	Tag        TagState
}

// GenState is the state of a generation.
type GenState string

// States of generations.
const (
	GenUnknown     GenState = ""
	GenActive      GenState = "active"
	GenDeactivated GenState = "deactivated" // reverses, makes no new pseudonyms
	GenDestroyed   GenState = "destroyed"
)

// TagState is the result of checking a pseudonym's tag.
type TagState string

// States of tags.
const (
	TagNone    TagState = "none"    // the project has no tags
	TagRight   TagState = "right"   // the pseudonym is genuine
	TagWrong   TagState = "wrong"   // forged, foreign or damaged
	TagUnknown TagState = "unknown" // its generation is destroyed or unknown
)

// Inspector checks whether values are pseudonyms of one domain. One goroutine at a time
// uses it. It must be closed before its plan.
type Inspector struct {
	spec       Spec
	keys       *Keys
	reader     *backward // nil for irreversible and format-preserving pseudonyms
	inAlphabet [256]bool // the alphabet of format-preserving ones
	forms      []spec.Form
	c, msg     []byte // scratch
}

// Inspector returns an Inspector of the pseudonyms of the plan's domain; for secondary, of
// the target domain.
func (p *Plan) Inspector() (*Inspector, error) {
	s, k := p.forward.spec, p.keys[len(p.keys)-1]
	if p.op == spec.Reverse {
		s = p.reverse.spec
	}
	s.Gen, s.Norm = -1, nil
	i := &Inspector{spec: s, keys: k, forms: []spec.Form{s.Form}}
	switch {
	case s.Form.Preserving():
		for _, c := range []byte(s.Form.Alphabet()) {
			i.inAlphabet[c] = true
		}
		return i, nil
	case s.Method == spec.Irreversible:
		return i, nil
	}
	for _, f := range []spec.Form{spec.Pair62, spec.Hex, spec.B64u, spec.B32, spec.UUID} {
		if f != s.Form {
			i.forms = append(i.forms, f)
		}
	}
	r, err := newBackward(s, k)
	if err != nil {
		return nil, err
	}
	i.reader = &r
	return i, nil
}

// Inspect checks the value x. It deciphers x if it must; its result reveals nothing of the
// plaintext.
func (in *Inspector) Inspect(x []byte) Finding {
	if len(x) > len(in.c) {
		secmem.Wipe(in.msg)
		in.c, in.msg = make([]byte, 2*len(x)), make([]byte, 2*len(x))
	}
	return in.inspect(x, in.c, in.msg)
}

// Close wipes deciphered text. It does not close the plan.
func (in *Inspector) Close() { secmem.Wipe(in.msg) }

// inspect checks x in the project's form and then in the other forms, until a living
// generation reads it. c and msg are scratch of the length of x.
func (in *Inspector) inspect(x, c, msg []byte) Finding {
	if in.spec.Form.Preserving() {
		return in.preserving(x)
	}
	best := Finding{Generation: -1}
	for _, form := range in.forms {
		found := in.inForm(form, x, c, msg)
		read := found.Tag == TagRight || in.spec.Tag == 0 && found.Generation >= 0 && found.State != GenDestroyed
		if found.WellFormed && (read || !best.WellFormed) {
			best = found
		}
		if read {
			break
		}
	}
	return best
}

// preserving checks a format-preserving pseudonym, of which only the characters can be
// checked.
func (in *Inspector) preserving(x []byte) Finding {
	for _, c := range x {
		if !in.inAlphabet[c] {
			return Finding{Generation: -1}
		}
	}
	key, err := in.keys.fpe(in.keys.newest[0], in.spec.Form.Alphabet())
	return Finding{WellFormed: err == nil && key.Takes(len(x)), Form: in.spec.Form, Generation: -1, Tag: TagNone}
}

// inForm inspects x as a pseudonym of one form.
func (in *Inspector) inForm(form spec.Form, x, c, msg []byte) Finding {
	none := Finding{Generation: -1}
	f := kernelForm(form)
	n := f.DecodedLen(len(x))
	if n < 16 || in.reader == nil && n != 16 || in.reader != nil && !in.reader.lengthOK(n) {
		return none
	}
	mark, ok := f.Decode(c[:n], x)
	if !ok || mark > in.keys.newest[0] && f.Marked() {
		return none
	}
	found := Finding{WellFormed: true, Form: form, Generation: -1, Tag: TagNone}
	if in.reader == nil {
		if f.Marked() {
			found.Generation, found.State = mark, in.state(mark)
		}
		return found
	}
	if f.Marked() && !in.keys.living[mark] {
		found.Generation, found.State, found.Tag = mark, GenDestroyed, in.tag(TagUnknown)
		return found
	}
	try := in.keys.newest
	if f.Marked() {
		try = []int{mark}
	}
	for _, gen := range try {
		in.reader.ciphers[gen].Decrypt(msg[:n], c[:n])
		if l, ok := in.reader.open(msg[:n]); ok && l > 0 {
			found.Generation, found.State, found.Tag = gen, in.state(gen), in.tag(TagRight)
			return found
		}
	}
	switch {
	case !f.Marked() && len(try) <= in.keys.newest[0]: // a destroyed generation may have made it
		found.Tag = in.tag(TagUnknown)
	case in.spec.Tag == 0:
		return none // no encoder makes such padding
	default:
		found.Tag = TagWrong
	}
	if f.Marked() {
		found.Generation, found.State = mark, in.state(mark)
	}
	return found
}

// tag returns s, or TagNone for a project without tags.
func (in *Inspector) tag(s TagState) TagState {
	if in.spec.Tag == 0 {
		return TagNone
	}
	return s
}

func (in *Inspector) state(gen int) GenState {
	switch {
	case gen == in.keys.active:
		return GenActive
	case in.keys.living[gen]:
		return GenDeactivated
	}
	return GenDestroyed
}

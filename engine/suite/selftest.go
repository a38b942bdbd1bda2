package suite

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/text/unicode/norm"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/internal/simd"
)

// vector is a case or a reject of a vector file.
type vector struct {
	Secret    string   `json:"secret"`
	Prj       string   `json:"prj"`
	Org       string   `json:"org"`
	Gen       int      `json:"gen"`
	Method    string   `json:"method"`
	Policy    string   `json:"policy"`
	Fmt       string   `json:"fmt"`
	Tag       int      `json:"tag"`
	Norm      []string `json:"norm"`
	Value     string   `json:"value_hex"`
	Pseudonym string   `json:"pseudonym"`
	R         string   `json:"r_hex"`
	K         uint64   `json:"k"`
	C         string   `json:"c_hex"`
	ValueOut  *string  `json:"value_out_hex"`

	Op    string `json:"op"`
	Input string `json:"input_hex"`
	Code  string `json:"code"`
}

type vectorFile struct {
	Suite   string   `json:"suite"`
	Cases   []vector `json:"cases"`
	Rejects []vector `json:"rejects"`
}

// SelfTest runs the vectors of a file (JSON) on every tier of this CPU, alone and among
// other values, and writes the numbers of those that passed to w. It returns an error if a
// vector failed, with the positions of the first few, or if the file is not one of suite
// a256-1. It switches tiers, so nothing else may transform concurrently.
func SelfTest(w io.Writer, vectors []byte) error {
	var file vectorFile
	if err := json.Unmarshal(vectors, &file); err != nil {
		return fmt.Errorf("suite: vector file: %w", err)
	}
	if file.Suite != "a256-1" {
		return errors.New("suite: vector file: not of suite a256-1")
	}
	if len(file.Cases)+len(file.Rejects) == 0 {
		return errors.New("suite: vector file: holds no vectors")
	}
	before := simd.Kernel()
	defer simd.Force(before)
	failed := 0
	var first error
	for _, name := range simd.Kernels() {
		if err := simd.Force(name); err != nil {
			return err
		}
		var ok [2]int
		for part, list := range [][]vector{file.Cases, file.Rejects} {
			for i := range list {
				err := list[i].run()
				if err == nil {
					ok[part]++
					continue
				}
				failed++
				err = fmt.Errorf("%s %d on kernel %s: %w", [2]string{"case", "reject"}[part], i, name, err)
				if failed <= 10 {
					fmt.Fprintf(w, "%v\n", err)
				}
				if first == nil {
					first = err
				}
			}
		}
		fmt.Fprintf(w, "%-8s %d of %d cases, %d of %d rejects passed\n", name, ok[0], len(file.Cases), ok[1], len(file.Rejects))
	}
	if first != nil {
		return fmt.Errorf("suite: %d vectors failed: %w", failed, first)
	}
	return nil
}

// plan returns the plan of a vector. It allows combinations that Validate refuses: the
// vectors define the transform there too.
func (v *vector) plan(op spec.Op) (*Plan, error) {
	secret, err := hex.DecodeString(v.Secret)
	if err != nil || len(secret) != 32 {
		return nil, errors.New("secret is not 32 bytes of hex")
	}
	s := Spec{Tag: v.Tag, Gen: v.Gen}
	if s.Method, err = spec.ParseMethod(v.Method); err != nil {
		return nil, err
	}
	if s.Policy, err = spec.ParsePolicy(v.Policy); err != nil {
		return nil, err
	}
	if s.Form, err = spec.ParseForm(v.Fmt); err != nil {
		return nil, err
	}
	if s.Norm, err = ParseNorm(v.Norm); err != nil {
		return nil, err
	}
	k, err := NewKeys(v.Prj, v.Org, []Secret{{v.Gen, true, [32]byte(secret)}})
	if err != nil {
		return nil, err
	}
	defer k.Release()
	p, err := newPlan(op, s, k)
	if err != nil {
		return nil, err
	}
	if r, err := hex.DecodeString(v.R); err == nil && len(r) > 0 {
		p.random = func(b []byte) {
			for len(b) > 0 {
				b = b[copy(b, r):]
			}
		}
	}
	return p, nil
}

// run checks one vector.
func (v *vector) run() error {
	if v.Op != "" {
		op, err := spec.ParseOp(v.Op)
		if err != nil {
			return err
		}
		in, err := hex.DecodeString(v.Input)
		if err != nil {
			return err
		}
		p, err := v.plan(op)
		if err != nil {
			return err
		}
		defer p.Close()
		_, code := v.value(p, in)
		if code.String() != v.Code {
			return fmt.Errorf("gave %s, want %s", code, v.Code)
		}
		return nil
	}
	in, err := hex.DecodeString(v.Value)
	if err != nil {
		return err
	}
	p, err := v.plan(spec.Pseudonymise)
	if err != nil {
		return err
	}
	defer p.Close()
	random := v.Method == "irreversible" && v.Policy == "different"
	got, code := v.value(p, in)
	switch {
	case code != 0:
		return fmt.Errorf("refused with %s", code)
	case !random && string(got) != v.Pseudonym:
		return errors.New("another pseudonym")
	case random && len(got) != len(v.Pseudonym):
		return errors.New("a pseudonym of another length")
	}
	if v.Method != "reversible" {
		return nil
	}
	want := in
	if v.ValueOut != nil {
		if want, err = hex.DecodeString(*v.ValueOut); err != nil {
			return err
		}
	}
	q, err := v.plan(spec.Reverse)
	if err != nil {
		return err
	}
	defer q.Close()
	back, code := v.value(q, []byte(v.Pseudonym))
	if code != 0 {
		return fmt.Errorf("reverse refused with %s", code)
	}
	if string(back) != string(want) {
		return errors.New("reverses to another value")
	}
	return nil
}

// neighbours is the number of values before and after the tested one, so that kernels for
// many values transform it.
const neighbours = 37

// value transforms in alone and then among other values. If the results differ, it returns
// an invalid code.
func (v *vector) value(p *Plan, in []byte) ([]byte, Code) {
	one := Batch{Src: in, Spans: []uint32{0, uint32(len(in))}}
	one.Doc = v.doc(p, in)
	p.Transform(&one)
	var code Code
	if len(one.Bad) > 0 {
		code = one.Bad[0].Code
	}
	many := Batch{Pre: `"`, Post: `",`}
	for i := range 2*neighbours + 1 {
		x := in
		if i != neighbours && p.NewDocument() != nil {
			x = fmt.Appendf(nil, "7%031d", i) // copies would count
		}
		many.Spans = append(many.Spans, uint32(len(many.Src)), uint32(len(x)))
		many.Src = append(many.Src, x...)
	}
	many.Doc = v.doc(p, in)
	p.Transform(&many)
	var among Code
	for _, b := range many.Bad {
		if b.Index == neighbours {
			among = b.Code
		}
	}
	a := many.Dst[many.Out[2*neighbours]:][:many.Out[2*neighbours+1]]
	if random := p.op == spec.Pseudonymise && v.Method == "irreversible" && v.Policy == "different"; among != code || !random && string(a) != string(one.Dst) {
		return nil, code ^ 0x80 // neither a result nor a known code
	}
	return one.Dst, code
}

// doc returns counters that have counted the value K times.
func (v *vector) doc(p *Plan, in []byte) *Document {
	d := p.NewDocument()
	if d == nil {
		return nil
	}
	val, _, _ := p.forward.spec.Norm.normalise(new(norm.Iter), nil, nil, in)
	for range v.K {
		d.next(val)
	}
	return d
}

package suite

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// Values as files have them: a long stretch of one shape, and then another one, at
// every offset around the groups, chunks and pieces that batches are cut into. Every
// way through a batch is held against the portable way of each value alone.

// kind is values of one shape that take turns, and what becomes of each.
type kind struct {
	name   string
	values [8][]byte
	result [8][]byte
	code   [8]Code
}

func kindOf(name string, value func(i int) string) *kind {
	k := &kind{name: name}
	for i := range k.values {
		k.values[i] = []byte(value(i))
	}
	return k
}

func numbers(n int) *kind {
	return kindOf(fmt.Sprint(n, " digits"), func(i int) string {
		return strings.Repeat(fmt.Sprint(9012345678+1111111*i), n/10+1)[:n]
	})
}

func always(name, v string) *kind { return kindOf(name, func(int) string { return v }) }

// solve finds the results by the portable way.
func (k *kind) solve(t *testing.T, p *Plan) *kind {
	s := &kind{name: k.name, values: k.values}
	tier := simd.Kernel()
	if err := simd.Force("generic"); err != nil {
		t.Fatal(err)
	}
	for i, v := range s.values {
		b := batchOf([][]byte{v})
		b.Out = make([]uint32, 2)
		p.portable(b, 0, 1)
		s.result[i], s.code[i] = b.result(0), b.bad(0)
	}
	if err := simd.Force(tier); err != nil {
		t.Fatal(err)
	}
	return s
}

// pseudonyms are what p makes of the values.
func (k *kind) pseudonyms(t *testing.T, p *Plan) *kind {
	s := k.solve(t, p)
	return &kind{name: "pseudonyms of " + k.name, values: s.result}
}

// aliases are pseudonyms in pair62 with a pair of 256 more in place of one: no encoder
// writes it, and the byte is the same.
func aliases(k *kind) *kind {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	s := &kind{name: k.name + " in another code"}
	for i, x := range k.values {
		s.values[i] = bytes.Clone(x)
		pair := s.values[i][2+2*i:][:2]
		v := 62*strings.IndexByte(alphabet, pair[0]) + strings.IndexByte(alphabet, pair[1]) + 256
		pair[0], pair[1] = alphabet[v/62], alphabet[v%62]
	}
	return s
}

// stretch is a plan and what it is given.
type stretch struct {
	name    string
	plan    *Plan
	base    *kind
	changes []*kind
	borders []int
	places  bool // Batch.At
	workers int
	pre     string
	post    string
}

func (s *stretch) check(t *testing.T, step int, b *Batch) {
	base := s.base.solve(t, s.plan)
	round := 0
	for kind, c := range s.changes {
		change := c.solve(t, s.plan)
		for _, border := range s.borders {
			every := step
			if border > 130 { // large batches
				every *= 4
			}
			// Each kind has offsets of its own; all kinds together are at every one.
			for at := max(0, border-130) + kind%every; at <= border+130; at += every {
				round++
				s.one(t, b, base, change, at, at+1+[]int{0, 3, 40, 200}[round%4], []int{1, 21, 1 << 30}[round%3])
			}
		}
	}
}

// one gives the plan n values, of which as many as length say from at on are of the
// other kind.
func (s *stretch) one(t *testing.T, b *Batch, base, change *kind, at, n, length int) {
	t.Helper()
	of := func(i int) *kind {
		if i >= at && i-at < length {
			return change
		}
		return base
	}
	b.Src, b.Spans, b.Dst, b.At = b.Src[:0], b.Spans[:0], b.Dst[:0], nil
	for i := range n {
		v := of(i).values[i%8]
		b.Spans = append(b.Spans, uint32(len(b.Src)), uint32(len(v)))
		b.Src = append(append(b.Src, v...), "\",\""[:n%4]...)
	}
	b.Pre, b.Post = s.pre, s.post
	size := 0
	if s.places {
		b.At = make([]uint32, n)
		for i := range n {
			b.At[i] = uint32(size)
			size += max(0, s.plan.OutLen(len(of(i).values[i%8]))) + n%3
		}
		b.Dst = make([]byte, size)
	}
	if s.workers > 0 {
		s.plan.TransformParallel(b, s.workers)
	} else {
		s.plan.Transform(b)
	}
	bad, end := b.Bad, 0
	for i := range n {
		want, code := of(i).result[i%8], of(i).code[i%8]
		var got Code
		if len(bad) > 0 && bad[0].Index == i {
			got, bad = bad[0].Code, bad[1:]
		}
		off, l := int(b.Out[2*i]), int(b.Out[2*i+1])
		if got != code || l != len(want) || !bytes.Equal(b.Dst[off:off+l], want) {
			t.Fatalf("%s: %d values of %s, %d of %s from %d on: value %d: %v, %d bytes; want %v, %d bytes", s.name, n, base.name, length, change.name, at, i, got, l, code, len(want))
		}
		if s.places {
			if l > 0 && off != int(b.At[i]) {
				t.Fatalf("%s: %s from %d on: value %d is said to be at %d, not %d", s.name, change.name, at, i, off, b.At[i])
			}
			continue
		}
		if off != end+len(s.pre) || string(b.Dst[end:off]) != s.pre || string(b.Dst[off+l:off+l+len(s.post)]) != s.post {
			t.Fatalf("%s: %d of %s from %d on: value %d stands in another place", s.name, length, change.name, at, i)
		}
		end = off + l + len(s.post)
	}
	if len(bad) > 0 || !s.places && end != len(b.Dst) {
		t.Fatalf("%s: %s from %d on: more bad values, or bytes behind", s.name, change.name, at)
	}
}

// TestStructured runs every kind of plan on every tier, and fails unless every way
// through a batch that the tier has was taken.
func TestStructured(t *testing.T) {
	simdtest.Alone(t)
	step, least := 2, 100
	if os.Getenv("VELONYM_SOAK") != "" {
		step = 1
	}
	if testing.Short() {
		step, least = 19, 10
	}
	k := testKeys(t)
	to, err := NewKeys("other", "", []Secret{{Gen: 0, Active: true, S: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Release)
	eachKernel(t, func(t *testing.T) {
		step := step
		if simd.Kernel() == "generic" {
			step *= 8
		}
		var b Batch
		for _, s := range stretches(t, k, to) {
			s.check(t, step, &b)
		}
		rare := map[string]bool{}
		if simd.Kernel() != "avx512" { // a way of its kernels
			rare["equalBlocks"] = true
		}
		paths := reflect.ValueOf(b.work.paths)
		for i := range paths.NumField() {
			name, n := paths.Type().Field(i).Name, int(paths.Field(i).Int())
			if n < least && !rare[name] && simd.Kernel() != "generic" {
				t.Errorf("way %s was taken %d times, want %d: the inputs no longer reach it", name, n, least)
			}
		}
	})
}

// sevenActive has the generations of testKeys, an older one of them active.
func sevenActive(t *testing.T) *Keys {
	var s []Secret
	for _, g := range []int{7, 3, 9} {
		x := Secret{Gen: g, Active: g == 7}
		for i := range x.S {
			x.S[i] = byte(g*31 + i)
		}
		s = append(s, x)
	}
	k, err := NewKeys("register", "clinic", s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Release)
	return k
}

func stretches(t *testing.T, k, to *Keys) (all []*stretch) {
	values := []*kind{
		numbers(1), numbers(15), numbers(16), numbers(40), numbers(271), numbers(272), numbers(400), numbers(257), always("empty", ""),
		always("other letters", "Zoë Ångström, née Müller"), always("no text", "\xff\xfe"),
		always("long no text", "a value of two blocks\xff"), always("long controls", "a value\x01 of three blocks, or of more"), always("controls", "12\x01"), always("blank", "  "),
	}
	seven := sevenActive(t)
	near, far := []int{0, 64, 128}, []int{1024}
	fpe, err := spec.ParseForm("fpe:0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	specOf := func(m spec.Method, p spec.Policy, f spec.Form, tag int, n ...Step) Spec {
		return Spec{Method: m, Policy: p, Form: f, Tag: tag, Norm: n, Gen: -1}
	}
	plain := specOf(spec.Reversible, spec.Same, spec.Pair62, 0)
	for _, s := range []struct {
		Spec
		borders []int
	}{
		{plain, append(near, far...)}, {specOf(spec.Reversible, spec.Same, spec.Hex, 0), near}, {specOf(spec.Reversible, spec.Same, spec.B64u, 0), near},
		{specOf(spec.Reversible, spec.Same, spec.UUID, 0), near}, {specOf(spec.Reversible, spec.Same, spec.B32, 64), near}, {specOf(spec.Reversible, spec.Different, spec.Pair62, 0), near},
		{specOf(spec.Reversible, spec.Same, spec.Pair62, 0, Trim, Upper), append(near, far...)}, {specOf(spec.Irreversible, spec.Same, spec.Pair62, 0), append(near, far...)},
		{specOf(spec.Irreversible, spec.Same, spec.Hex, 0, DigitsOnly), near}, {specOf(spec.Irreversible, spec.Different, spec.B64u, 0), near},
		{specOf(spec.Reversible, spec.Same, spec.Digits, 0), append(near, far...)}, {specOf(spec.Reversible, spec.Same, fpe, 0, Trim), near},
	} {
		p := plan(t, spec.Pseudonymise, s.Spec, k)
		of := func(base *kind, borders []int, pre, post string, places bool, workers int) {
			all = append(all, &stretch{name: s.name(), plan: p, base: base, changes: values, borders: borders, places: places, workers: workers, pre: pre, post: post})
		}
		of(numbers(13), s.borders, `"`, `",`, false, 0)
		of(numbers(30), near[:2], "", "\n", false, 0)
		of(numbers(13), near[:2], "longer", "framing", false, 0)
		if p.OutLen(13) >= 0 {
			of(numbers(13), near, "", "", true, 0)
			of(numbers(40), near[:1], "", "", true, 0)
		}
		if s.Method != spec.Reversible {
			continue
		}
		q := plan(t, spec.Reverse, s.Spec, k)
		pseudonyms := func(list []*kind) (x []*kind) {
			for _, v := range list {
				x = append(x, v.pseudonyms(t, p))
			}
			if s.Form == spec.Pair62 {
				x = append(x, aliases(numbers(13).pseudonyms(t, p)), aliases(numbers(40).pseudonyms(t, p)))
			}
			older := s.Spec
			older.Norm = nil
			return append(x, numbers(13).pseudonyms(t, plan(t, spec.Pseudonymise, older, seven)),
				numbers(13), numbers(32), always("no pseudonym", "abc-"))
		}
		all = append(all, &stretch{name: s.name() + " reverse", plan: q, base: numbers(13).pseudonyms(t, p), changes: pseudonyms(values), borders: s.borders, post: "\n"},
			&stretch{name: s.name() + " reverse of long ones", plan: q, base: numbers(40).pseudonyms(t, p), changes: pseudonyms(values), borders: near[:1], post: "\n"})
		second, err := NewSecondary(Spec{Method: s.Method, Policy: s.Policy, Form: s.Form, Tag: s.Tag, Gen: -1}, k, specOf(spec.Reversible, spec.Same, spec.Hex, 0, s.Norm...), to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(second.Close)
		all = append(all, &stretch{name: s.name() + " secondary", plan: second, base: numbers(13).pseudonyms(t, p), changes: pseudonyms(values), borders: s.borders[:2], pre: "[", post: "]"})
		if s.Form == spec.Pair62 && s.Policy == spec.Same {
			pieces := []int{minPiece}
			all = append(all,
				&stretch{name: s.name() + " parallel", plan: p, base: numbers(13), changes: values, borders: pieces, workers: 3, pre: `"`, post: `",`},
				&stretch{name: s.name() + " parallel reverse", plan: q, base: numbers(13).pseudonyms(t, p), changes: pseudonyms(values[:4]), borders: pieces, workers: 2, post: "\n"},
				&stretch{name: s.name() + " parallel secondary", plan: second, base: numbers(13).pseudonyms(t, p), changes: pseudonyms(values[:2]), borders: pieces, workers: 2})
		}
	}
	return slices.Clip(all)
}

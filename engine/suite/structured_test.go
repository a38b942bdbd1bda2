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

// The structured tests transform values as files have them: a long stretch of one shape and
// then another one, at every offset around the groups, chunks and pieces into which batches
// are cut. They compare every path through a batch with the portable twin of each value.

// shape is eight values of one shape, which a batch repeats, with their results.
type shape struct {
	name   string
	values [8][]byte
	result [8][]byte
	code   [8]Code
}

func shapeOf(name string, value func(i int) string) *shape {
	k := &shape{name: name}
	for i := range k.values {
		k.values[i] = []byte(value(i))
	}
	return k
}

func numbers(n int) *shape {
	return shapeOf(fmt.Sprint(n, " digits"), func(i int) string {
		return strings.Repeat(fmt.Sprint(9012345678+1111111*i), n/10+1)[:n]
	})
}

func constant(name, v string) *shape { return shapeOf(name, func(int) string { return v }) }

// withResults returns the shape with the results of the portable twin.
func (k *shape) withResults(t *testing.T, p *Plan) *shape {
	s := &shape{name: k.name, values: k.values}
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

// pseudonyms returns the shape whose values are the results of p.
func (k *shape) pseudonyms(t *testing.T, p *Plan) *shape {
	s := k.withResults(t, p)
	return &shape{name: "pseudonyms of " + k.name, values: s.result}
}

// aliases returns pair62 pseudonyms in which one pair stands for 256 more: no encoder writes
// it, although it has the same byte.
func aliases(k *shape) *shape {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	s := &shape{name: k.name + " in another code"}
	for i, x := range k.values {
		s.values[i] = bytes.Clone(x)
		pair := s.values[i][2+2*i:][:2]
		v := 62*strings.IndexByte(alphabet, pair[0]) + strings.IndexByte(alphabet, pair[1]) + 256
		pair[0], pair[1] = alphabet[v/62], alphabet[v%62]
	}
	return s
}

// structuredCase is a plan and the batches that it transforms.
type structuredCase struct {
	name      string
	plan      *Plan
	base      *shape
	changes   []*shape
	borders   []int
	scattered bool // Batch.At
	workers   int
	pre       string
	post      string
}

func (s *structuredCase) check(t *testing.T, step int, b *Batch) {
	base := s.base.withResults(t, s.plan)
	round := 0
	for kind, c := range s.changes {
		change := c.withResults(t, s.plan)
		for _, border := range s.borders {
			every := step
			if border > 130 { // large batches
				every *= 4
			}
			// Each shape occurs at some offsets; all shapes together occur at every one.
			for at := max(0, border-130) + kind%every; at <= border+130; at += every {
				round++
				s.checkAt(t, b, base, change, at, at+1+[]int{0, 3, 40, 200}[round%4], []int{1, 21, 1 << 30}[round%3])
			}
		}
	}
}

// checkAt transforms n values of shape base, of which those from at on, up to length of them,
// have the shape change.
func (s *structuredCase) checkAt(t *testing.T, b *Batch, base, change *shape, at, n, length int) {
	t.Helper()
	of := func(i int) *shape {
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
	if s.scattered {
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
		if s.scattered {
			if l > 0 && off != int(b.At[i]) {
				t.Fatalf("%s: %s from %d on: value %d: Out has offset %d, want %d", s.name, change.name, at, i, off, b.At[i])
			}
			continue
		}
		if off != end+len(s.pre) || string(b.Dst[end:off]) != s.pre || string(b.Dst[off+l:off+l+len(s.post)]) != s.post {
			t.Fatalf("%s: %d of %s from %d on: value %d is not framed, or stands at a wrong offset", s.name, length, change.name, at, i)
		}
		end = off + l + len(s.post)
	}
	if len(bad) > 0 || !s.scattered && end != len(b.Dst) {
		t.Fatalf("%s: %s from %d on: more bad values than expected, or bytes behind the results", s.name, change.name, at)
	}
}

// TestStructured runs every kind of plan on every tier, and fails unless every path through a
// batch that the tier has was taken.
func TestStructured(t *testing.T) {
	simdtest.Alone(t)
	step, least := 4, 50
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
		for _, s := range structuredCases(t, k, to) {
			s.check(t, step, &b)
		}
		rare := map[string]bool{}
		if simd.Kernel() != "avx512" { // only its kernels have the path
			rare["equalBlocks"] = true
		}
		paths := reflect.ValueOf(b.work.paths)
		for i := range paths.NumField() {
			name, n := paths.Type().Field(i).Name, int(paths.Field(i).Int())
			if n < least && !rare[name] && simd.Kernel() != "generic" {
				t.Errorf("path %s was taken %d times, want at least %d: the inputs no longer reach it", name, n, least)
			}
		}
	})
}

// keysWithOlderActive returns the generations of testKeys with an older one active.
func keysWithOlderActive(t *testing.T) *Keys {
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

func structuredCases(t *testing.T, k, to *Keys) (all []*structuredCase) {
	values := []*shape{
		numbers(1), numbers(15), numbers(16), numbers(40), numbers(271), numbers(272), numbers(400), numbers(257), constant("empty", ""),
		constant("other letters", "Zoë Ångström, née Müller"), constant("no text", "\xff\xfe"),
		constant("long no text", "a value of two blocks\xff"), constant("long controls", "a value\x01 of three blocks, or of more"), constant("controls", "12\x01"), constant("blank", "  "),
	}
	seven := keysWithOlderActive(t)
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
		of := func(base *shape, borders []int, pre, post string, places bool, workers int) {
			all = append(all, &structuredCase{name: s.name(), plan: p, base: base, changes: values, borders: borders, scattered: places, workers: workers, pre: pre, post: post})
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
		pseudonyms := func(list []*shape) (x []*shape) {
			for _, v := range list {
				x = append(x, v.pseudonyms(t, p))
			}
			if s.Form == spec.Pair62 {
				x = append(x, aliases(numbers(13).pseudonyms(t, p)), aliases(numbers(40).pseudonyms(t, p)))
			}
			older := s.Spec
			older.Norm = nil
			return append(x, numbers(13).pseudonyms(t, plan(t, spec.Pseudonymise, older, seven)),
				numbers(13), numbers(32), constant("no pseudonym", "abc-"))
		}
		all = append(all, &structuredCase{name: s.name() + " reverse", plan: q, base: numbers(13).pseudonyms(t, p), changes: pseudonyms(values), borders: s.borders, post: "\n"},
			&structuredCase{name: s.name() + " reverse of long ones", plan: q, base: numbers(40).pseudonyms(t, p), changes: pseudonyms(values), borders: near[:1], post: "\n"})
		second, err := NewSecondary(Spec{Method: s.Method, Policy: s.Policy, Form: s.Form, Tag: s.Tag, Gen: -1}, k, specOf(spec.Reversible, spec.Same, spec.Hex, 0, s.Norm...), to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(second.Close)
		all = append(all, &structuredCase{name: s.name() + " secondary", plan: second, base: numbers(13).pseudonyms(t, p), changes: pseudonyms(values), borders: s.borders[:2], pre: "[", post: "]"})
		if s.Form == spec.Pair62 && s.Policy == spec.Same {
			pieces := []int{minPiece}
			all = append(all,
				&structuredCase{name: s.name() + " parallel", plan: p, base: numbers(13), changes: values, borders: pieces, workers: 3, pre: `"`, post: `",`},
				&structuredCase{name: s.name() + " parallel reverse", plan: q, base: numbers(13).pseudonyms(t, p), changes: pseudonyms(values[:4]), borders: pieces, workers: 2, post: "\n"},
				&structuredCase{name: s.name() + " parallel secondary", plan: second, base: numbers(13).pseudonyms(t, p), changes: pseudonyms(values[:2]), borders: pieces, workers: 2})
		}
	}
	return slices.Clip(all)
}

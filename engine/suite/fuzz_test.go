package suite

import (
	"bytes"
	"slices"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/internal/simd"
)

// FuzzTransform cuts the input into values and runs them through every kernel, forwards and
// backwards, unchanged and as pseudonyms. It fails if two kernels disagree or a value does
// not come back.
func FuzzTransform(f *testing.F) {
	f.Add(uint8(0), uint8(5), []byte("1234567890123,,Zoë,a longer value than one block can hold,\xff\x00"))
	f.Add(uint8(40), uint8(1), []byte("aabbccddeeffgghhiijjkkllmmnnoopp"))
	f.Add(uint8(77), uint8(200), bytes.Repeat([]byte("0123456789abcdef,"), 40))
	specs := allSpecs()
	k := testKeys(f)
	f.Fuzz(func(t *testing.T, which, size uint8, data []byte) {
		s := specs[int(which)%len(specs)]
		var values [][]byte
		for _, part := range bytes.Split(data, []byte{','}) {
			for len(part) > int(size)+1 {
				values = append(values, part[:size+1])
				part = part[size+1:]
			}
			values = append(values, part)
		}
		defer simd.Force("auto")
		var forward, back *Batch
		for _, name := range slices.Backward(simd.Kernels()) { // the portable one first
			if err := simd.Force(name); err != nil {
				t.Fatal(err)
			}
			p := plan(t, spec.Pseudonymise, s, k)
			a := batchOf(values)
			a.Doc, a.Post = p.NewDocument(), ";"
			p.Transform(a)
			if forward == nil {
				forward = a
			}
			checkSameBatch(t, name+": "+s.name(), a, forward)
			if s.Method != spec.Reversible {
				continue
			}
			q := plan(t, spec.Reverse, s, k)
			x := slices.Clone(values) // foreign ones
			for i := range values {
				x = append(x, forward.result(i))
			}
			b := batchOf(x)
			q.Transform(b)
			if back == nil {
				back = b
			}
			checkSameBatch(t, name+": reverse "+s.name(), b, back)
			for i, v := range values {
				if s.Norm == nil && a.bad(i) == 0 && !bytes.Equal(b.result(len(values)+i), v) {
					t.Fatalf("%s: %s: value %d does not come back", name, s.name(), i)
				}
			}
		}
	})
}

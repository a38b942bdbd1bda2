package bulk

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestArrowMutatedInputs checks that an input with bytes changed at random is processed or
// refused, without a panic.
func TestArrowMutatedInputs(t *testing.T) {
	simdtest.Alone(t)
	p := plan(t, spec.Pseudonymise, reversible)
	path := filepath.Join(t.TempDir(), "in.arrow")
	r := rand.New(rand.NewPCG(1, 2))
	for _, asFile := range []bool{false, true} {
		for _, opts := range [][]ipc.Option{nil, {ipc.WithZstd()}, {ipc.WithLZ4()}} {
			seed := ipcBytes(t, asFile, []arrow.RecordBatch{frame(0, 12)}, opts...)
			for i := range 150 {
				in := bytes.Clone(seed)
				for range 1 + r.IntN(4) {
					in[r.IntN(len(in))] = []byte{0, 1, 0xff, 0x7f, 0x80, byte(r.Uint32())}[r.IntN(6)]
				}
				if err := os.WriteFile(path, in, 0o600); err != nil {
					t.Fatal(err)
				}
				var out bytes.Buffer
				began := time.Now()
				_, err := Run(t.Context(), Job{Inputs: []string{path}, Stdout: &out, MaxMemory: 64 << 20, Workers: 1, OnError: Null, Again: true,
					Columns: []Column{{Name: []string{"id", "town", "person.name", "codes", "view"}[i%5], Plan: p}}})
				if err != nil && strings.Contains(err.Error(), "panic") {
					t.Error(err)
				}
				if d := time.Since(began); d > time.Second {
					t.Logf("%v: %v", d, err)
				}
			}
		}
	}
}

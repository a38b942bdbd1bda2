package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzVerify compares verification with a naive reading of the chain's definition.
func FuzzVerify(f *testing.F) {
	path := filepath.Join(f.TempDir(), "audit.jsonl")
	l, err := Open(path, Options{})
	if err != nil {
		f.Fatal(err)
	}
	for _, id := range []string{"a", "b"} {
		if err := l.Append(request(id, false)); err != nil {
			f.Fatal(err)
		}
	}
	l.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(good[:len(good)-100])
	f.Add(append(bytes.Clone(good), good...))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Verify(bytes.NewReader(b))
		if err == nil && r.Torn == 0 {
			var seq uint64
			prev := r.Prev
			for i, line := range bytes.SplitAfter(b, []byte("\n")) {
				if len(line) == 0 {
					continue
				}
				line = line[:len(line)-1]
				var m struct {
					Seq       uint64
					Prev, Sum string
				}
				if err := json.Unmarshal(line, &m); err != nil {
					t.Fatalf("line %d: %v", i+1, err)
				}
				own := sha256.Sum256(line[:len(line)-sumTail])
				if m.Prev != prev || i > 0 && m.Seq != seq+1 || m.Sum != hex.EncodeToString(own[:]) {
					t.Fatalf("line %d breaks the chain, and Verify accepted it", i+1)
				}
				all := sha256.Sum256(line)
				prev, seq = hex.EncodeToString(all[:]), m.Seq
			}
		}
	})
}

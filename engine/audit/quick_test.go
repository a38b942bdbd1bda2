package audit

import (
	"path/filepath"
	"sync"
	"testing"
)

func TestConcurrentAppendsMakeOneChain(t *testing.T) {
	p := filepath.Join(t.TempDir(), "a.jsonl")
	l, err := Open(p, Options{MaxSize: 20000})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				if err := l.Append(Record{Kind: "request", Op: "reverse", Outcome: "OK", Sync: i%3 == 0}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := Files(p)
	if err != nil {
		t.Fatal(err)
	}
	r, err := VerifyFiles(files...)
	if err != nil {
		t.Fatal(err)
	}
	if own := r.Files - 1; r.Files < 2 || r.Records != int64(400+own) || r.First != 1 {
		t.Fatalf("%+v", r)
	}
}

package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func queried(t *testing.T, f Filter, paths ...string) (seqs []uint64) {
	t.Helper()
	if err := Query(f, func(e *Entry) error { seqs = append(seqs, e.Seq); return nil }, paths...); err != nil {
		t.Fatal(err)
	}
	return seqs
}

// TestQuery checks each filter over rotated files, and that a changed record is an error.
func TestQuery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	l, err := Open(path, Options{Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Record{
		{Kind: "run", Project: "a", Op: "reverse", JTI: "one", Outcome: "OK"},
		{Kind: "run", Project: "b", Source: "a", Op: "secondary", JTI: "two", Outcome: "OK"},
		{Kind: "key", Project: "b", Op: "sever", Outcome: "FAILED", Time: at.Add(time.Hour)},
	} {
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f    Filter
		want []uint64
	}{
		{Filter{}, []uint64{1, 2, 3}},
		{Filter{Project: "a"}, []uint64{1, 2}},
		{Filter{JTI: "two"}, []uint64{2}},
		{Filter{Op: "sever"}, []uint64{3}},
		{Filter{Kind: "run"}, []uint64{1, 2}},
		{Filter{Outcome: "OK", Project: "b"}, []uint64{2}},
		{Filter{Since: at.Add(time.Hour)}, []uint64{3}},
		{Filter{Until: at.Add(time.Hour)}, []uint64{1, 2}},
	} {
		if got := queried(t, c.f, path); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.f, got, c.want)
		}
	}
	b, _ := os.ReadFile(path)
	os.WriteFile(path, bytes.Replace(b, []byte(`"one"`), []byte(`"uno"`), 1), 0o600)
	if Query(Filter{}, func(*Entry) error { return nil }, path) == nil {
		t.Error("Query passes a changed record to visit without an error")
	}
}

// TestExportedPartVerifies checks that a torn line is exported with the record that accounts
// for it, so that the chain of the part can be verified.
func TestExportedPartVerifies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for range 2 {
		l, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := l.Append(Record{Kind: "run", Outcome: "OK"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		f, _ := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		f.WriteString(`{"seq":99,"to`)
		f.Close()
	}
	var part bytes.Buffer
	before, err := Export(&part, 2, 6, path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "part")
	os.WriteFile(to, part.Bytes(), 0o600)
	r, err := VerifyLog(Trust{Anchors: []Anchor{{1, before}}}, to)
	if err != nil || r.First != 2 || r.Seq != 6 || r.Torn != 1 {
		t.Fatalf("%+v %v, want records 2 to 6 with one torn\n%s", r, err, part.Bytes())
	}
}

package keys_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

// TestLogHeads checks that the newest head of each log is kept, also of one that was cut, and
// that the number of logs is limited.
func TestLogHeads(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(keys.NewMasterKeyFile(filepath.Join(dir, "key")))
	mk, err := keys.LoadMasterKey(t.Context(), filepath.Join(dir, "key"))
	must(err)
	store, err := sqlite.Create(filepath.Join(dir, "keystore.db"))
	must(err)
	ks, err := keys.New(t.Context(), store, mk)
	must(err)
	defer ks.Close()
	keep := func(log string, seq uint64) {
		t.Helper()
		must(ks.KeepLogHead(t.Context(), keys.LogHead{Log: log, Seq: seq, Time: fmt.Sprintf("2026-11-29T00:00:00.%09dZ", seq)}))
	}
	last := func(log string) (seqs []uint64) {
		t.Helper()
		list, err := ks.LogHeads(t.Context())
		must(err)
		for _, h := range list {
			if h.Log == log {
				seqs = append(seqs, h.Seq)
			}
		}
		return seqs
	}
	keep("a", 5)
	keep("b", 1)
	keep("a", 9)
	keep("a", 7) // an older head, which another process reports late
	if got := last("a"); len(got) != 1 || got[0] != 9 {
		t.Errorf("kept the heads %v, want only that of record 9", got)
	}
	must(ks.ReplaceLogHead(t.Context(), keys.LogHead{Log: "a", Seq: 9}))
	keep("a", 2)
	if got := last("a"); len(got) != 2 {
		t.Errorf("the head of a log that was cut is forgotten: %v", got)
	}
	n, err := ks.ForgetLog(t.Context(), "a", false)
	must(err)
	if got := last("a"); n != 1 || len(got) != 1 || got[0] != 2 {
		t.Errorf("forgot %d, left %v", n, got)
	}
	for i := range 300 {
		keep(fmt.Sprint("pod", i), uint64(1000+i))
	}
	list, err := ks.LogHeads(t.Context())
	must(err)
	if len(list) > 256 || len(last("pod299")) != 1 {
		t.Errorf("%d heads, newest %v, want 256 at most with one of pod299", len(list), last("pod299"))
	}
}

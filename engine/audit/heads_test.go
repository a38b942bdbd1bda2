package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// signer is a Signer whose key is derived from one byte.
type signer struct{ key ed25519.PrivateKey }

func newSigner(b byte) signer {
	return signer{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))}
}

func (s signer) Sign(m []byte) []byte { return ed25519.Sign(s.key, m) }
func (s signer) PublicKey() []byte    { return s.key.Public().(ed25519.PublicKey) }

// signedLog writes a log of the records and closes it, so that a head covers the last one.
func signedLog(t *testing.T, by byte, names ...string) string {
	t.Helper()
	path := newPath(t)
	l := open(t, path, Options{Signer: newSigner(by)})
	add(t, l, names...)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func headsOf(t *testing.T, path string) []Head {
	t.Helper()
	heads, torn, err := ReadHeads(HeadsPath(path))
	if err != nil || torn != 0 {
		t.Fatal(torn, err)
	}
	return heads
}

// refusedLog fails the test unless VerifyLog returns an error that holds want.
func refusedLog(t *testing.T, trust Trust, want string, paths ...string) {
	t.Helper()
	r, err := VerifyLog(trust, paths...)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %+v, %v; want %q", r, err, want)
	}
}

// TestHeadsProveCompleteness checks that signed heads kept apart reveal a log that was cut at
// either end or written anew, with another key or without one.
func TestHeadsProveCompleteness(t *testing.T) {
	path := signedLog(t, 1, "a", "b", "c", "d")
	same(t, path, "a", "b", "c", "d", "head")
	heads := headsOf(t, path)
	good := Trust{Heads: heads, Keys: [][]byte{newSigner(1).PublicKey()}}
	r, err := VerifyLog(good, path)
	if err != nil || r.Heads != 1 || r.Signed != 4 || len(r.Keys) != 1 || len(heads) != 1 {
		t.Fatalf("%+v, %v, %d heads, want one head that signs 4 records with one key", r, err, len(heads))
	}
	whole := read(t, path)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 4 { // cut at the end, down to nothing
		write(bytes.Join(lines[:n], nil))
		refusedLog(t, good, []string{"at least 4", "at least 3", "at least 2", "at least 1"}[n]+" are missing", path)
	}
	write(bytes.Join(lines[2:], nil)) // the beginning is cut
	refusedLog(t, good, "begins with record 3: those before it are not here", path)
	refusedLog(t, Trust{}, "--anchor 2:DIGEST", path)
	write(whole)

	// Logs written anew with another record instead of b, one without heads and one signed
	// by another key.
	anew := newPath(t)
	l := open(t, anew, Options{})
	add(t, l, "a", "x", "c", "d", "e")
	l.Close()
	refusedLog(t, good, "a signed head names: the log was written anew", anew)
	forged := signedLog(t, 2, "a", "x", "c", "d")
	refusedLog(t, good, "a signed head names", forged)
	refusedLog(t, Trust{Keys: good.Keys}, "none of those trusted", forged)
	refusedLog(t, Trust{Heads: headsOf(t, forged), Keys: good.Keys}, "none of those trusted", path)
	spoiled := heads[0]
	spoiled.Seq--
	refusedLog(t, Trust{Heads: []Head{spoiled}}, "signature does not fit", path)
	refusedLog(t, Trust{Heads: append(headsOf(t, forged), heads...)}, "they differ", path)

	// A log without heads.
	old := newPath(t)
	l = open(t, old, Options{})
	add(t, l, "a", "b")
	l.Close()
	if r, err := VerifyLog(Trust{Keys: good.Keys}, old); err != nil || r.Signed != 0 || r.Heads != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	l = open(t, old, Options{Signer: newSigner(1)}) // continues with heads
	add(t, l, "c")
	l.Close()
	if r, err := VerifyLog(Trust{Heads: headsOf(t, old), Keys: good.Keys}, old); err != nil || r.Signed != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestHeadsByCountAndTime checks that a head is signed after HeadEvery records and after
// HeadPeriod, and that OnHead receives each.
func TestHeadsByCountAndTime(t *testing.T) {
	got := make(chan Head, 10)
	keep := func(h Head) error { got <- h; return nil }
	path := newPath(t)
	l := open(t, path, Options{Signer: newSigner(1), HeadEvery: 3, HeadPeriod: time.Hour, OnHead: keep})
	add(t, l, "a", "b", "c")
	if h := <-got; h.Seq != 3 {
		t.Errorf("after three records: head of record %d, want 3", h.Seq)
	}
	path = newPath(t)
	l = open(t, path, Options{Signer: newSigner(1), HeadPeriod: time.Millisecond, OnHead: keep, Delay: time.Millisecond})
	add(t, l, "a")
	if h := <-got; h.Seq != 1 {
		t.Errorf("after a time: head of record %d, want 1", h.Seq)
	}
	same(t, path, "a", "head")
	l.Close()
	same(t, path, "a", "head") // Close signs no other head without new records
}

// TestHeadsRotatedAndTorn checks that heads remain valid across rotation, and that a line is
// appended after a torn one in the heads file.
func TestHeadsRotatedAndTorn(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{Signer: newSigner(1), MaxSize: 1500})
	add(t, l, "a", "b", "c", "d", "e", "f", "g")
	l.Close()
	f, err := os.OpenFile(HeadsPath(path), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":99,"he`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	l = open(t, path, Options{Signer: newSigner(1), MaxSize: 1500})
	add(t, l, "h")
	l.Close()
	heads, torn, err := ReadHeads(HeadsPath(path))
	if err != nil || torn != 1 || len(heads) != 2 {
		t.Fatal(len(heads), torn, err)
	}
	files, err := Files(path)
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	if r, err := VerifyLog(Trust{Heads: heads}, files...); err != nil || r.First != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	first, err := VerifyLog(Trust{Heads: heads, Older: true}, files[0])
	if err != nil {
		t.Error(err)
	}
	if _, err := VerifyLog(Trust{Heads: heads, Anchors: []Anchor{{first.Seq, first.Head}}}, files[1:]...); err != nil {
		t.Error(err)
	}
	refusedLog(t, Trust{Heads: heads}, "those before it are not here", files[1:]...)
}

// TestHeadsFileNotWritable checks that records are written although the heads file cannot be,
// that HeadFailed gets the error, and that the next head covers them.
func TestHeadsFileNotWritable(t *testing.T) {
	path := newPath(t)
	if err := os.Mkdir(HeadsPath(path), 0o700); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 10)
	l := open(t, path, Options{Signer: newSigner(1), HeadEvery: 1, HeadFailed: func(err error) { told <- err }})
	add(t, l, "a")
	if err := <-told; !errors.Is(err, syscall.EISDIR) {
		t.Error(err)
	}
	if err := os.Remove(HeadsPath(path)); err != nil {
		t.Fatal(err)
	}
	add(t, l, "b")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if heads := headsOf(t, path); len(heads) == 0 || heads[len(heads)-1].Seq < 3 {
		t.Errorf("heads %+v, want one of record 3 or later", heads)
	}
}

// TestRecordWithHead checks that a record with Head is followed at once by a head that covers
// it, and that Close adds none.
func TestRecordWithHead(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{Signer: newSigner(1), HeadPeriod: time.Hour})
	add(t, l, "a")
	r := request("b", true)
	r.Head = true
	if err := l.Append(r); err != nil {
		t.Fatal(err)
	}
	same(t, path, "a", "b", "head")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, path, "a", "b", "head")
	heads := headsOf(t, path)
	if len(heads) != 1 || heads[0].Seq != 2 {
		t.Fatalf("heads %+v, want one of record 2", heads)
	}
	if _, err := VerifyLog(Trust{Heads: heads}, path); err != nil {
		t.Error(err)
	}
}

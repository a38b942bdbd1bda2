package timestamp

import (
	"bytes"
	"crypto/x509"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/audit/timestamp/tsatest"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pool(t *testing.T, pem []byte) *x509.CertPool {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	return roots
}

// TestVerifyOpenSSLStamps verifies time-stamps that OpenSSL made, and checks that changed ones
// are refused.
func TestVerifyOpenSSLStamps(t *testing.T) {
	simdtest.Alone(t)
	message, roots := read(t, "message"), pool(t, read(t, "ca.pem"))
	for _, name := range []string{"rsa", "ec", "old"} {
		token := read(t, name+".der")
		s, err := Verify(token, message, roots)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := s.Time.UTC().Format(time.DateOnly); got != "2026-11-29" || !strings.HasPrefix(s.Authority(), "Test TSA ") {
			t.Errorf("%s: %s by %s", name, got, s.Authority())
		}
		if _, err := Verify(token, append(message, 'x'), roots); err == nil {
			t.Errorf("%s: another message is accepted", name)
		}
		if _, err := Verify(token, message, x509.NewCertPool()); err == nil {
			t.Errorf("%s: an authority that is not trusted is accepted", name)
		}
		if _, err := Verify(token, message, nil); err != nil {
			t.Errorf("%s, without roots: %v", name, err)
		}
		// No bit of content, attributes and signature can be changed. Version numbers, and
		// lists that repeat other members, are not protected.
		accepted := 0
		for i := 0; i < len(token); i += 7 { // all of them take long under the race detector
			changed := bytes.Clone(token)
			changed[i] ^= 0x04
			if _, err := Verify(changed, message, roots); err == nil {
				accepted++
			}
			if _, err := Verify(token[:i], message, roots); err == nil {
				t.Fatalf("%s: %d of %d bytes are accepted", name, i, len(token))
			}
		}
		if accepted > 8 {
			t.Errorf("%s: %d of %d changed bytes are accepted", name, accepted, len(token))
		}
		// The signed time cannot be changed.
		at := bytes.Index(token, []byte("20261129"))
		if at < 0 {
			t.Fatal("the token has no time")
		}
		changed := bytes.Clone(token)
		changed[at+7] ^= 1
		if _, err := Verify(changed, message, nil); err == nil {
			t.Errorf("%s: another time is accepted", name)
		}
	}
}

// TestAuthorityRefusesWrongAnswers checks the error of every wrong answer of a TSA, which names
// only its scheme and host.
func TestAuthorityRefusesWrongAnswers(t *testing.T) {
	tsa := tsatest.New(t)
	a, err := NewAuthority(tsa.URL + "/stamp?token=secret")
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("data")
	token, s, err := a.Stamp(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(s.Time); age < -time.Minute || age > time.Minute {
		t.Errorf("the time is %v", s.Time)
	}
	if _, err := Verify(token, data, pool(t, tsa.CA)); err != nil {
		t.Error(err)
	}
	for want, f := range map[string]tsatest.Faults{
		"status 500":                   {Status: 500},
		"refused: bad request":         {Refuse: true},
		"signature is not valid":       {Forge: true},
		"not a time-stamp response":    {Body: []byte("<html>")},
		"longer than":                  {Body: make([]byte, maxResponse+1)},
		"it is not CMS signed data":    {Body: []byte{0x30, 5, 0x30, 3, 2, 1, 0}}, // granted, without a token
		"is not a time-stamp response": {Body: []byte{}},
	} {
		tsa.SetFaults(f)
		_, _, err := a.Stamp(t.Context(), data)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v; want %q", f, err, want)
		}
	}
	for _, bad := range []string{"", "tsa.example", "ftp://tsa.example", "https://", "%"} {
		if _, err := NewAuthority(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func head(seq uint64) audit.Head {
	return audit.Head{Seq: seq, Digest: strings.Repeat("ab", 32), Time: "2026-11-23T20:18:00.000000000Z"}
}

// TestStamper checks that the newest head is stamped, that failures are retried, and that Close
// stamps what a TSA that was down has missed.
func TestStamper(t *testing.T) {
	tsa := tsatest.New(t)
	a, err := NewAuthority(tsa.URL)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	var log bytes.Buffer
	s := NewStamper(a, path, time.Millisecond, slog.New(slog.NewTextHandler(&log, nil)))
	s.Offer(head(1))
	await(t, func() bool { return s.Stats().Stamped == 1 })
	tsa.SetFaults(tsatest.Faults{Status: 503})
	s.Offer(head(2))
	await(t, func() bool { return s.Stats().Failed >= 1 })
	tsa.SetFaults(tsatest.Faults{})
	s.Offer(head(3))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := Read(Path(path))
	if err != nil || len(list) < 2 || list[0].Seq != 1 || list[len(list)-1].Seq != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, e := range list {
		if _, err := e.Verify(pool(t, tsa.CA)); err != nil || e.TSA != tsa.URL {
			t.Errorf("record %d by %s: %v", e.Seq, e.TSA, err)
		}
		e.Digest = strings.Repeat("cd", 32)
		if _, err := e.Verify(nil); err == nil {
			t.Error("the stamp of another head is accepted")
		}
	}
	if st := s.Stats(); st.Last.IsZero() || !strings.Contains(log.String(), "status 503") {
		t.Errorf("%+v, log %s", st, &log)
	}
}

// TestHangingAuthority checks that Offer returns at once, and that Close does not wait for a
// request that hangs.
func TestHangingAuthority(t *testing.T) {
	tsa := tsatest.New(t)
	tsa.SetFaults(tsatest.Faults{Hang: true})
	a, err := NewAuthority(tsa.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := NewStamper(a, filepath.Join(t.TempDir(), "audit.jsonl"), time.Hour, slog.New(slog.NewTextHandler(io.Discard, nil)))
	for i := range uint64(1000) {
		s.Offer(head(i + 1))
	}
	await(t, func() bool { return tsa.Asked() > 0 })
	go s.Close()
	await(t, func() bool { return tsa.Asked() > 1 }) // Close has ended the first attempt and made the last
}

// TestTornStamps checks that Read skips a line that a crash left torn.
func TestTornStamps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stamps")
	e := Entry{Seq: 1, Digest: "a", TSA: "b", Token: []byte("c")}
	if err := Append(path, e); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(whole, whole[:20]...), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Seq = 2
	if err := Append(path, e); err != nil {
		t.Fatal(err)
	}
	list, err := Read(path)
	if err != nil || len(list) != 2 || list[1].Seq != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := Read(path + ".none"); err != nil || list != nil {
		t.Errorf("no file: %v, %v", list, err)
	}
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the awaited condition did not become true in time")
		}
	}
}

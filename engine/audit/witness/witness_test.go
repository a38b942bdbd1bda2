package witness

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/audit"
)

var head = audit.Head{Seq: 7, Digest: strings.Repeat("ab", 32), Time: "2026-11-23T20:18:00.000000000Z", Key: []byte("key"), Signature: []byte("sig")}

// read checks the JSON that a witness received.
func read(t *testing.T, b []byte) {
	t.Helper()
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if m.Log != "host:/audit.jsonl" || m.Seq != 7 || m.Digest != head.Digest || string(m.Signature) != "sig" {
		t.Errorf("sent %+v, want the head of record 7 of host:/audit.jsonl", m)
	}
}

func witness(t *testing.T, place string) func(audit.Head) error {
	t.Helper()
	w, err := New(place, "host:/audit.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWebhook checks the request of a webhook, and that errors hold no secret of its URL.
func TestWebhook(t *testing.T) {
	status := 204
	var got []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.URL.Path != "/heads" {
			t.Errorf("%s %s, want POST /heads with JSON", r.Method, r.URL.Path)
		}
		got, _ = io.ReadAll(r.Body)
		if status == 302 {
			w.Header().Set("Location", "/heads/elsewhere")
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	w := witness(t, s.URL+"/heads?token=secret")
	if err := w(head); err != nil {
		t.Fatal(err)
	}
	read(t, got)
	for _, status = range []int{302, 500} {
		if err := w(head); err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) || strings.Contains(err.Error(), "secret") {
			t.Errorf("status %d: %v", status, err)
		}
	}
	s.Close()
	if err := w(head); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a server that is gone: %v", err)
	}
}

var syslogLine = regexp.MustCompile(`^<85>1 \S+Z \S+ velonym \d+ audit-head - velonym audit head (\{.*\})$`)

// TestSyslog checks messages over UDP and TCP.
func TestSyslog(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	if err := witness(t, "syslog://"+udp.LocalAddr().String())(head); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64<<10)
	n, _, err := udp.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	m := syslogLine.FindSubmatch(b[:n])
	if m == nil {
		t.Fatalf("%s", b[:n])
	}
	read(t, m[1])

	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	if err := witness(t, "syslog+tcp://"+tcp.Addr().String())(head); err != nil {
		t.Fatal(err)
	}
	c, err := tcp.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	var size int
	if _, err := fmt.Fscanf(r, "%d ", &size); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, size)
	if _, err := io.ReadFull(r, line); err != nil {
		t.Fatal(err)
	}
	if m = syslogLine.FindSubmatch(line); m == nil {
		t.Fatalf("%s", line)
	}
	read(t, m[1])
}

// TestAddresses checks which addresses of witnesses are accepted.
func TestAddresses(t *testing.T) {
	for _, place := range []string{"syslog:", "syslog://loghost", "https://heads.example/x", "http://127.0.0.1:9/x", "http://localhost/"} {
		if _, err := New(place, "log"); err != nil {
			t.Errorf("%s: %v", place, err)
		}
	}
	for _, place := range []string{"", "http://heads.example/", "ftp://x", "syslog:x", "https://", "file:///etc/passwd", "%"} {
		if _, err := New(place, "log"); err == nil {
			t.Errorf("%q is accepted, want an error", place)
		}
	}
}

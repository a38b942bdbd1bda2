package server

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// TestCompression sends compressed bodies and asks for compressed answers.
func TestCompression(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	values := make([]string, 3000)
	for i := range values {
		values[i] = fmt.Sprint("value ", i)
	}
	plain := jsonOf(values...)
	pack := map[string]func(string) string{
		"gzip": func(s string) string {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			io.WriteString(z, s)
			z.Close()
			return b.String()
		},
		"zstd": func(s string) string {
			var b bytes.Buffer
			z, _ := zstd.NewWriter(&b)
			io.WriteString(z, s)
			z.Close()
			return b.String()
		},
	}
	unpack := map[string]func([]byte) []byte{
		"gzip": func(b []byte) []byte {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			out, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			return out
		},
		"zstd": func(b []byte) []byte {
			z, _ := zstd.NewReader(nil)
			defer z.Close()
			out, err := z.DecodeAll(b, nil)
			if err != nil {
				t.Fatal(err)
			}
			return out
		},
		"": func(b []byte) []byte { return b },
	}
	want := r.post(forwardPath, fwd, jsonType, plain)
	for enc := range pack {
		a := r.post(forwardPath, fwd, jsonType, pack[enc](plain), "Content-Encoding", enc, "Accept-Encoding", enc)
		if a.status != 200 || a.header.Get("Content-Encoding") != enc || len(a.body) >= len(want.body) {
			t.Fatalf("%s: status %d, coding %q, %d bytes: %.100q", enc, a.status, a.header.Get("Content-Encoding"), len(a.body), a.body)
		}
		if !bytes.Equal(unpack[enc](a.body), want.body) {
			t.Errorf("%s: the unpacked answer differs from the uncompressed one", enc)
		}
		psn := clientAnswer{200, nil, want.body}.strings(t)
		if back := r.post(reversePath, rev, jsonType, pack[enc](jsonOf(psn...)), "Content-Encoding", enc).strings(t); !slices.Equal(back, values) {
			t.Errorf("%s: reversing does not give the values", enc)
		}
		whole := pack[enc](plain)
		for name, broken := range map[string]string{"cut": whole[:len(whole)-9], "damaged": whole[:len(whole)/2] + "????????" + whole[len(whole)/2+8:], "nothing": "", "foreign": "not compressed at all"} {
			a := r.post(forwardPath, fwd, jsonType, broken, "Content-Encoding", enc)
			if a.status != 400 {
				t.Errorf("%s, %s: status %d, want 400: %.200s", enc, name, a.status, a.body)
			}
		}
	}
	// Variants that gzip and zstd accept: zero padding, several members, skippable frames.
	skip := "\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
	for enc, packed := range map[string][]string{
		"gzip": {pack["gzip"](plain) + strings.Repeat("\x00", 9000), pack["gzip"](plain[:5000]) + pack["gzip"](plain[5000:])},
		"zstd": {skip + pack["zstd"](plain), pack["zstd"](plain[:5000]) + skip + pack["zstd"](plain[5000:]) + skip},
	} {
		for i, body := range packed {
			if a := r.post(forwardPath, fwd, jsonType, body, "Content-Encoding", enc); a.status != 200 || !bytes.Equal(a.body, want.body) {
				t.Errorf("%s, variant %d: status %d, or another answer: %.200s", enc, i, a.status, a.body)
			}
		}
	}
	if a := r.post(forwardPath, fwd, jsonType, pack["gzip"](plain)+"trailing text", "Content-Encoding", "gzip"); a.status != 400 {
		t.Errorf("text after the gzip stream: status %d, want 400: %.200s", a.status, a.body)
	}
	for accept, want := range map[string]string{"": "", "identity": "", "gzip": "gzip", "gzip, zstd": "zstd", "gzip;q=1, zstd;q=0.5": "gzip",
		"zstd;q=0, gzip;q=0": "", "*": "gzip", "br": "", "gzip;q=0.1, identity": "", "GZIP": "gzip"} {
		a := r.post(forwardPath, fwd, jsonType, plain, "Accept-Encoding", accept)
		if got := a.header.Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: coding %q, want %q", accept, got, want)
		}
		unpack[want](a.body)
	}
	if a := r.post(forwardPath, fwd, jsonType, jsonOf("a"), "Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "" {
		t.Error("a small answer is compressed")
	}
	for _, enc := range []string{"br", "gzip, gzip", "deflate"} {
		a := r.post(forwardPath, fwd, jsonType, plain, "Content-Encoding", enc)
		a.problem(t, 415, "UNSUPPORTED_MEDIA_TYPE")
		if a.header.Get("Accept-Encoding") != "gzip, zstd" {
			t.Error("the refusal does not list the supported codings in Accept-Encoding")
		}
	}
}

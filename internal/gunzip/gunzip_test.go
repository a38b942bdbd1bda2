package gunzip

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func pack(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

// TestReader checks that members and padding are read as by gzip(1), by a new reader and by one
// that is used again.
func TestReader(t *testing.T) {
	a, b := pack("first "), pack("second")
	used, err := NewReader(bufio.NewReader(strings.NewReader(pack("used"))))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in, out string
		err     error
	}{
		"one member":       {a, "first ", nil},
		"two members":      {a + b, "first second", nil},
		"empty members":    {pack("") + a + pack(""), "first ", nil},
		"zeros":            {a + b + strings.Repeat("\x00", 9000), "first second", nil},
		"one zero":         {a + "\x00", "first ", nil},
		"text behind":      {a + "text", "first ", ErrBehind},
		"member in zeros":  {a + "\x00\x00" + b, "first ", ErrBehind},
		"cut":              {a[:len(a)-3], "first ", io.ErrUnexpectedEOF},
		"cut second":       {a + b[:5], "first ", io.ErrUnexpectedEOF},
		"half a magic":     {a + "\x1f", "first ", io.ErrUnexpectedEOF},
		"damaged checksum": {a[:len(a)-8] + "????" + a[len(a)-4:], "first ", gzip.ErrChecksum},
		"nothing":          {"", "", io.EOF},
		"no gzip":          {"pid,town\n1,a\n", "", gzip.ErrHeader},
	} {
		fresh, err := NewReader(bufio.NewReader(strings.NewReader(c.in)))
		var out []byte
		if err == nil {
			out, err = io.ReadAll(fresh)
		}
		if string(out) != c.out || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v", name, out, err)
		}
		err, out = used.Reset(strings.NewReader(c.in)), nil
		if err == nil {
			out, err = io.ReadAll(used)
		}
		if string(out) != c.out || !errors.Is(err, c.err) {
			t.Errorf("%s, a reader used before: %q, %v", name, out, err)
		}
		used.Release()
	}
}

package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

func smallLog(t *testing.T) []byte {
	t.Helper()
	path := newPath(t)
	l := open(t, path, Options{})
	add(t, l, "a", "b", "c", "d")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return read(t, path)
}

// breaks fails the test unless Verify reports that the chain breaks at this line.
func breaks(t *testing.T, what string, b []byte, line int64) {
	t.Helper()
	r, err := Verify(bytes.NewReader(b))
	var broken *BrokenError
	if !errors.As(err, &broken) {
		t.Fatalf("%s: not noticed: %+v, %v", what, r, err)
	}
	if broken.Line != line || broken.Seq != uint64(line) {
		t.Fatalf("%s: named line %d, record %d; want %d: %v", what, broken.Line, broken.Seq, line, err)
	}
	if r.Records != line-1 {
		t.Fatalf("%s: the report counts %d valid records, want %d", what, r.Records, line-1)
	}
}

// TestEveryChangedByteIsFound changes each byte of a log in turn.
func TestEveryChangedByteIsFound(t *testing.T) {
	good := smallLog(t)
	if r, err := Verify(bytes.NewReader(good)); err != nil || r.Records != 4 {
		t.Fatal(r, err)
	}
	for i := range good {
		line := int64(bytes.Count(good[:i], []byte("\n"))) + 1
		for _, c := range []byte{good[i] ^ 1, good[i] ^ 0x20, '\n', 0, ' '} {
			if c == good[i] {
				continue
			}
			b := bytes.Clone(good)
			b[i] = c
			breaks(t, "changed byte", b, line)
		}
		breaks(t, "removed byte", slices.Concat(good[:i], good[i+1:]), line)
		breaks(t, "added byte", slices.Concat(good[:i], []byte("1"), good[i:]), line)
	}
}

// TestCutIsFound cuts a log at every byte. A cut within a line breaks the chain; a cut between
// lines is found only with an anchor.
func TestCutIsFound(t *testing.T) {
	good := smallLog(t)
	full, err := Verify(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	path := newPath(t)
	for i := range good {
		line := int64(bytes.Count(good[:i], []byte("\n"))) + 1
		if i > 0 && good[i-1] != '\n' {
			breaks(t, "cut", good[:i], line)
			continue
		}
		// Whole records are missing, which only an anchor can reveal.
		if r, err := Verify(bytes.NewReader(good[:i])); err != nil || r.Records != line-1 {
			t.Fatalf("cut after %d records: %+v, %v", line-1, r, err)
		}
		if err := os.WriteFile(path, good[:i], 0o600); err != nil {
			t.Fatal(err)
		}
		var broken *BrokenError
		if _, err := VerifyLog(Trust{Anchors: []Anchor{{full.Seq, full.Head}}}, path); !errors.As(err, &broken) || broken.Seq != uint64(line) {
			t.Fatalf("cut after %d records, with the end known: %v", line-1, err)
		}
	}
}

// TestAnchorProvesBeginning checks that an anchor allows the files before it to be missing, and
// reveals a missing file after it and a log written anew.
func TestAnchorProvesBeginning(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{MaxSize: 1500})
	add(t, l, "a", "b")
	then := whole(t, path)
	anchor := Anchor{then.Seq, then.Head}
	add(t, l, "c", "d", "e", "f", "g", "h")
	files, err := Files(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyLog(Trust{Anchors: []Anchor{anchor}}, files...); err != nil {
		t.Error(err)
	}
	if len(files) < 3 {
		t.Fatalf("%d files, want 3 or more", len(files))
	}
	// Old files were removed after they had been verified.
	one, err := VerifyFiles(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyLog(Trust{Anchors: []Anchor{{one.Seq, one.Head}}}, files[1:]...); err != nil {
		t.Error(err)
	}
	if _, err := VerifyLog(Trust{Anchors: []Anchor{{one.Seq, one.Head}}}, files[2:]...); err == nil {
		t.Error("a missing file between is not noticed")
	}
	// The chain of a log that was written anew is valid in itself.
	other := newPath(t)
	l = open(t, other, Options{})
	add(t, l, "a", "b", "c", "d", "e", "f", "g", "h")
	if _, err := VerifyFiles(other); err != nil {
		t.Error(err)
	}
	var broken *BrokenError
	if _, err := VerifyLog(Trust{Anchors: []Anchor{anchor}}, other); !errors.As(err, &broken) || broken.Seq != anchor.Seq {
		t.Errorf("a log written anew: %v", err)
	}
}

// resum replaces the digest of a line by that of its content, as a forger would.
func resum(line string) string {
	body := line[:len(line)-sumTail]
	sum := sha256.Sum256([]byte(body))
	return body + sumStart + hex.EncodeToString(sum[:]) + sumEnd
}

// TestTamperedRecords checks that records that are removed, moved, repeated or forged with
// correct digests break the chain at the right line.
func TestTamperedRecords(t *testing.T) {
	lines := strings.SplitAfter(strings.TrimSuffix(string(smallLog(t)), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\n")
	}
	join := func(l ...string) []byte { return []byte(strings.Join(l, "\n") + "\n") }
	a, b, c, d := lines[0], lines[1], lines[2], lines[3]
	for what, x := range map[string]struct {
		content []byte
		line    int64
	}{
		"first removed":        {join(b, c, d), 0},
		"second removed":       {join(a, c, d), 2},
		"third removed":        {join(a, b, d), 3},
		"swapped":              {join(a, c, b, d), 2},
		"swapped at the end":   {join(a, b, d, c), 3},
		"repeated":             {join(a, b, b, c, d), 3},
		"empty line":           {join(a, "", b, c, d), 2},
		"foreign line":         {join(a, b, `{"note":"all is well"}`, c, d), 3},
		"spaces":               {join(a, " "+b, c, d), 2},
		"CRLF":                 {join(a+"\r", b, c, d), 1},
		"changed, new digest":  {join(a, resum(strings.Replace(b, `"values":3`, `"values":2`, 1)), c, d), 3},
		"renumbered":           {join(a, resum(strings.Replace(c, `"seq":3`, `"seq":2`, 1)), resum(strings.Replace(d, `"seq":4`, `"seq":3`, 1))), 2},
		"number 0":             {join(resum(strings.Replace(a, `"seq":1`, `"seq":0`, 1))), 1},
		"a first that follows": {join(resum(strings.Replace(a, `"prev":"0`, `"prev":"1`, 1))), 1},
		"no time":              {join(resum(strings.Replace(a, `"time":"2`, `"time":"x`, 1)), b), 1},
		"unfounded recovery":   {join(a, b, resum(strings.Replace(c, `"kind":"request"`, `"kind":"recovered"`, 1))), 3},
		"no record":            {[]byte("\n"), 1},
		"upper-case digest":    {join(a, b[:len(b)-sumTail]+strings.ToUpper(b[len(b)-sumTail:]), c), 2},
	} {
		r, err := Verify(bytes.NewReader(x.content))
		if x.line == 0 {
			// Older records may be in older files: the report's First says so.
			if err != nil || r.First != 2 {
				t.Errorf("%s: %+v, %v", what, r, err)
			}
			continue
		}
		var broken *BrokenError
		if !errors.As(err, &broken) || broken.Line != x.line {
			t.Errorf("%s: got %v, want line %d", what, err, x.line)
		}
	}
	if _, err := Verify(bytes.NewReader(bytes.Repeat([]byte("x"), 3<<20))); err == nil {
		t.Error("an endless line is not noticed")
	}
	if r, err := Verify(strings.NewReader("")); err != nil || r.Seq != 0 || r.Head != "" {
		t.Errorf("an empty log: %+v, %v", r, err)
	}
}

// TestFilesWithoutLog checks that Files returns an error if there is no log.
func TestFilesWithoutLog(t *testing.T) {
	if _, err := Files(newPath(t)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := VerifyFiles(newPath(t)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

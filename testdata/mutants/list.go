package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutant is a deliberate fault: it changes a condition that a fast path needs.
type mutant struct {
	name string // what the code does wrong with the fault
	list string // file and line of the entry, for messages
	file string // path relative to the repository's root
	in   string // function that contains the text; "": the whole file
	test string // package and flags for go test; the test must fail
	old  string // must occur exactly once
	new  string
}

// readList reads a list in the format that the package comment describes.
func readList(name string) ([]mutant, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all []mutant
	var file, test string // of the previous entry
	var old, repl []string
	var m *mutant
	end := func() error {
		if m == nil {
			return nil
		}
		m.file, m.test = file, test
		m.old, m.new = strings.Join(old, "\n"), strings.Join(repl, "\n")
		if m.file == "" || m.test == "" || m.old == "" || m.old == m.new {
			return fmt.Errorf("%s: mutant %q needs file, test, a text and another one in its place", m.list, m.name)
		}
		all = append(all, *m)
		m, old, repl = nil, nil, nil
		return nil
	}
	for i, line := range strings.Split(string(text), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if m == nil && word != "mutant" && word != "" && word[0] != '#' && word != "file" && word != "test" {
			return nil, fmt.Errorf("%s:%d: begin with: mutant WHAT IT GETS WRONG", name, i+1)
		}
		switch word {
		case "mutant":
			if err := end(); err != nil {
				return nil, err
			}
			m = &mutant{name: rest, list: fmt.Sprintf("%s:%d", filepath.Base(name), i+1)}
		case "file":
			file = rest
		case "in":
			m.in = rest
		case "test":
			test = rest
		case "-":
			old = append(old, rest)
		case "+":
			repl = append(repl, rest)
		default:
			if word != "" && word[0] != '#' {
				return nil, fmt.Errorf("%s:%d: unknown word %q", name, i+1, word)
			}
			if err := end(); err != nil {
				return nil, err
			}
		}
	}
	return all, end()
}

// apply returns the content of the file with the fault.
func (m *mutant) apply() ([]byte, error) {
	text, err := os.ReadFile(m.file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.list, err)
	}
	from, to := 0, len(text)
	if m.in != "" {
		if from, to = extent(text, m.in); from < 0 {
			return nil, fmt.Errorf("%s: %s has no function %s", m.list, m.file, m.in)
		}
	}
	body := text[from:to]
	if n := bytes.Count(body, []byte(m.old)); n != 1 {
		return nil, fmt.Errorf("%s: the text of mutant %q stands %d times in %s %s, not once: follow the code", m.list, m.name, n, m.file, m.in)
	}
	at := from + bytes.Index(body, []byte(m.old))
	out := append([]byte(nil), text[:at]...)
	out = append(out, m.new...)
	return append(out, text[at+len(m.old):]...), nil
}

// extent returns the byte range of a function in a Go or assembly file, or -1, -1.
func extent(text []byte, name string) (from, to int) {
	for at := 0; at < len(text); {
		line := text[at:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		rest := text[at+len(line):]
		switch {
		case bytes.HasPrefix(line, []byte("func ")) && (bytes.Contains(line, []byte(" "+name+"(")) || bytes.Contains(line, []byte(" "+name+"["))):
			if i := bytes.Index(rest, []byte("\n}\n")); i >= 0 {
				return at, at + len(line) + i + 3
			}
			return at, at + len(line)
		case bytes.HasPrefix(line, []byte("TEXT ·"+name+"(")):
			if i := bytes.Index(rest, []byte("\nTEXT ")); i >= 0 {
				return at, at + len(line) + i + 1
			}
			return at, len(text)
		}
		at += len(line)
	}
	return -1, -1
}

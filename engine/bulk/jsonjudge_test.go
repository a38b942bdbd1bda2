package bulk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/velonym/velonym/engine/suite"
)

// judge computes what a run over JSON must write and count. It reads with encoding/json and
// shares no code with the package.
type judge struct {
	paths   [][]string
	plan    *suite.Plan
	onError OnError
	pass    bool

	out    []byte
	rows   int64
	values int64
	empty  int64
	errors int64
	counts []columnTally
	has    []bool
}

func newJudge(p *suite.Plan, onError OnError, pass bool, paths ...string) *judge {
	j := &judge{plan: p, onError: onError, pass: pass, counts: make([]columnTally, len(paths))}
	for _, path := range paths {
		j.paths = append(j.paths, strings.Split(path, "."))
	}
	return j
}

// text adds one JSON text, a row.
func (j *judge) text(b []byte) {
	j.rows++
	j.has = make([]bool, len(j.paths))
	all := make([]int, len(j.paths))
	for k := range all {
		all[k] = k
	}
	w := &judgedText{j: j, in: b, dec: json.NewDecoder(bytes.NewReader(b))}
	w.dec.UseNumber()
	w.value(all, 0)
	j.out = append(j.out, b[w.copied:]...)
	for k, has := range j.has {
		if !has {
			j.counts[k].Missing++
		}
	}
}

// judgedText is the state of judging one text.
type judgedText struct {
	j      *judge
	in     []byte
	dec    *json.Decoder
	copied int
}

// value judges the next value. on lists the paths whose first depth names led to it.
func (w *judgedText) value(on []int, depth int) {
	before := int(w.dec.InputOffset())
	tok, err := w.dec.Token()
	if err != nil {
		panic(err)
	}
	end := int(w.dec.InputOffset())
	leaf := -1
	for _, k := range on {
		if len(w.j.paths[k]) == depth {
			leaf = k
		}
	}
	switch tok {
	case json.Delim('['):
		for w.dec.More() {
			w.value(on, depth)
		}
		if _, err := w.dec.Token(); err != nil {
			panic(err)
		}
		return
	case json.Delim('{'):
		if leaf < 0 {
			w.members(on, depth)
			return
		}
		w.members(nil, depth)
		w.other(on, before, int(w.dec.InputOffset()))
		return
	}
	if len(on) == 0 {
		return
	}
	switch v := tok.(type) {
	case nil:
		for _, k := range on {
			w.j.has[k] = true
			w.j.counts[k].Null++
			w.j.empty++
		}
	case string:
		if leaf < 0 {
			w.other(on, before, end)
			return
		}
		w.j.has[leaf] = true
		if v == "" {
			w.j.empty++
			w.j.counts[leaf].Empty++
			return
		}
		w.j.values++
		w.j.counts[leaf].Values++
		w.put(before, end, `"`+transformOne(w.j.plan, v)+`"`)
	default:
		w.other(on, before, end)
	}
}

// members judges the members of an object whose opening brace has been read.
func (w *judgedText) members(on []int, depth int) {
	for w.dec.More() {
		name, err := w.dec.Token()
		if err != nil {
			panic(err)
		}
		var under []int
		for _, k := range on {
			if len(w.j.paths[k]) > depth && w.j.paths[k][depth] == name {
				under = append(under, k)
			}
		}
		w.value(under, depth+1)
	}
	if _, err := w.dec.Token(); err != nil {
		panic(err)
	}
}

// other judges a value that is neither a string nor null, from before to end.
func (w *judgedText) other(on []int, before, end int) {
	for _, k := range on {
		w.j.has[k] = true
		if w.j.pass {
			w.j.counts[k].Other++
		}
	}
	if w.j.pass {
		return
	}
	w.j.errors++
	w.j.counts[on[0]].Errors++
	w.put(before, end, "null")
}

// put replaces the token that starts after offset before and ends at end.
func (w *judgedText) put(before, end int, text string) {
	for strings.IndexByte(" \t\r\n,:", w.in[before]) >= 0 {
		before++
	}
	w.j.out = append(append(w.j.out, w.in[w.copied:before]...), text...)
	w.copied = end
}

// check returns the difference between a run and the judgement, "" if they agree.
func (j *judge) check(out string, sum Summary, err error) string {
	if j.onError == Fail && !j.pass && j.errors > 0 {
		if err == nil || !strings.Contains(err.Error(), "NOT_A_STRING") || out != "" {
			return fmt.Sprintf("%d values of another shape: %v, %d bytes written", j.errors, err, len(out))
		}
		return ""
	}
	for _, c := range j.counts {
		if j.onError == Null && c.Values == 0 && c.Errors > 0 { // the column would be empty
			if err == nil || !strings.Contains(err.Error(), "none of its values could be transformed") {
				return fmt.Sprintf("a column without a result: %v", err)
			}
			return ""
		}
	}
	switch {
	case err != nil:
		return err.Error()
	case out != string(j.out):
		return fmt.Sprintf("wrote\n%.3000q, want\n%.3000q", out, j.out)
	case sum.Rows != j.rows || sum.Values != j.values || sum.Empty != j.empty || sum.Errors != j.errors:
		return fmt.Sprintf("%d rows, %d values, %d empty, %d errors; want %d, %d, %d, %d", sum.Rows, sum.Values, sum.Empty, sum.Errors, j.rows, j.values, j.empty, j.errors)
	}
	for k, c := range sum.Columns {
		if got := (columnTally{c.Missing, c.Null, c.Other, c.Values, c.Empty - c.Null, c.Errors}); got != j.counts[k] {
			return fmt.Sprintf("column %s: %+v, want %+v", c.Name, got, j.counts[k])
		}
	}
	return ""
}

// strictJSON reports, by means of the standard library, whether b is one JSON text by the
// rules of a run.
func strictJSON(b []byte) bool {
	if !json.Valid(b) || !utf8.Valid(b) {
		return false
	}
	depth, str := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case str && c == '\\':
			if b[i+1] != 'u' {
				i++
				continue
			}
			u, _ := strconv.ParseUint(string(b[i+2:i+6]), 16, 16)
			i += 5
			if u>>11 != 0xd800>>11 {
				continue
			}
			if u >= 0xdc00 || len(b) < i+7 || b[i+1] != '\\' || b[i+2] != 'u' {
				return false
			}
			if u, _ = strconv.ParseUint(string(b[i+3:i+7]), 16, 16); u>>10 != 0xdc00>>10 {
				return false
			}
			i += 6
		case c == '"':
			str = !str
		case !str && (c == '{' || c == '['):
			if depth++; depth > 512 {
				return false
			}
		case !str && (c == '}' || c == ']'):
			depth--
		}
	}
	return true
}

// unevenReads returns its bytes in reads of random lengths up to most.
type unevenReads struct {
	b    []byte
	r    *rand.Rand
	most int
}

func (o *unevenReads) Read(p []byte) (int, error) {
	if len(o.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1+o.r.IntN(o.most))], o.b)
	o.b = o.b[n:]
	return n, nil
}

package bulk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/velonym/velonym/engine/bulk/profile"
)

// jsonProfile counts the values of JSON by path.
type jsonProfile struct {
	in      *profileInput
	dec     *json.Decoder
	rep     *profile.Report
	columns *profile.Columns
	paths   map[string]*profile.Column
	hidden  bool // some names of members look like values
	top     int64
}

// profileJSON counts the values of NDJSON and of JSON documents. A row is a top-level value,
// or an element of a top-level array.
func (j *Job) profileJSON(in *profileInput, rep *profile.Report) error {
	prefix := 0
	if bytes.HasPrefix(in.head, bom) {
		prefix = len(bom)
	}
	p := &jsonProfile{in: in, rep: rep, columns: profile.NewColumns(), paths: map[string]*profile.Column{}, top: int64(prefix)}
	p.dec = json.NewDecoder(in.start(prefix))
	p.dec.UseNumber()
	rep.Format = string(NDJSON)
	if err := p.rows(); err != nil {
		return err
	}
	for i := range p.columns.Len() {
		p.columns.Column(i).Pad(rep.Rows)
	}
	if p.hidden {
		rep.Notes = append(rep.Notes, "some names of members look like values and are shown as *: a path cannot name such members, and a run does not replace names")
	}
	rep.Columns = p.columns.Report()
	return nil
}

// rows counts all rows.
func (p *jsonProfile) rows() error {
	for {
		t, err := p.dec.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return p.failed(err)
		}
		if t == json.Delim('[') {
			p.rep.Format = string(JSON)
			for p.dec.More() {
				if err := p.next(""); err != nil {
					return err
				}
				p.rowDone()
			}
			if _, err := p.dec.Token(); err != nil {
				return p.failed(err)
			}
			continue
		}
		if err := p.value(t, ""); err != nil {
			return err
		}
		p.rowDone()
	}
}

func (p *jsonProfile) rowDone() {
	p.rep.Rows++
	p.in.rowDone()
}

// next counts the next value of the input.
func (p *jsonProfile) next(path string) error {
	t, err := p.dec.Token()
	if err != nil {
		return p.failed(err)
	}
	return p.value(t, path)
}

// value counts the value that begins with token t.
func (p *jsonProfile) value(t json.Token, path string) error {
	switch v := t.(type) {
	case json.Delim:
		for p.dec.More() {
			member := path
			if v == '{' {
				name, err := p.dec.Token()
				if err != nil {
					return p.failed(err)
				}
				member = p.join(path, name.(string))
			}
			if err := p.next(member); err != nil {
				return err
			}
		}
		if _, err := p.dec.Token(); err != nil {
			return p.failed(err)
		}
	case string:
		p.column(path).Add([]byte(v), 1)
	case json.Number:
		c := p.column(path)
		c.Add([]byte(v), 1)
		c.NotText(1)
	case bool:
		c := p.column(path)
		c.Add(fmt.Append(nil, v), 1)
		c.NotText(1)
	case nil:
		p.column(path).Missing(1)
	}
	return nil
}

// escapePath escapes a name for a path.
var escapePath = strings.NewReplacer(`\`, `\\`, ".", `\.`)

// join returns the path of a member. A name that looks like a value is not shown.
func (p *jsonProfile) join(path, name string) string {
	if profile.IsValue(name) || len(p.paths) >= maxProfileColumns && p.paths[path+"."+name] == nil {
		p.hidden = true
		name = "*"
	} else {
		name = escapePath.Replace(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func (p *jsonProfile) column(path string) *profile.Column {
	c := p.paths[path]
	if c == nil {
		c = p.columns.Append(path)
		p.paths[path] = c
	}
	return c
}

// failed returns the error for an error of the decoder, whose text contains a character of
// the input.
func (p *jsonProfile) failed(err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) && err != io.EOF && err != io.ErrUnexpectedEOF {
		return p.in.failed(err)
	}
	what := "is not valid JSON here"
	if syntax == nil {
		what = "the JSON is cut short"
	}
	return &Error{File: p.in.src.name, Offset: p.top + p.dec.InputOffset() + 1, Err: errors.New(what)}
}

package token

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A strict reader of small JSON documents (RFC 8259). encoding/json takes the last of
// duplicate members, ignores the case of names and repairs invalid UTF-8. This reader
// refuses all three, so that two readers of a token never see different claims.

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindText
	kindArray
	kindObject
)

// node is a JSON value. text holds an unescaped text, a number as written, or "true" or
// "false". items holds the items of an array, or the values of an object's names.
type node struct {
	kind  kind
	text  string
	names []string
	items []node
}

const maxDepth = 16

var (
	errSyntax    = errors.New("not valid JSON")
	errDuplicate = errors.New("an object has a member twice")
	errDepth     = errors.New("nested too deep")
	errText      = errors.New("a text is not valid UTF-8")
)

// member returns the member called name of an object.
func (n *node) member(name string) (*node, bool) {
	if n.kind != kindObject {
		return nil, false
	}
	for i, s := range n.names {
		if s == name {
			return &n.items[i], true
		}
	}
	return nil, false
}

// integer returns a number that is written without fraction and exponent.
func (n *node) integer() (int64, bool) {
	if n.kind != kindNumber {
		return 0, false
	}
	v, err := strconv.ParseInt(n.text, 10, 64)
	return v, err == nil && n.text != "-0"
}

// seconds rounds a number to whole seconds, up or down. It computes on the written
// digits and therefore loses no precision. ok is false for negative numbers and for
// those of more than 12 digits.
func (n *node) seconds(up bool) (int64, bool) {
	if n.kind != kindNumber || n.text[0] == '-' {
		return 0, false
	}
	number, power := n.text, 0
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		// Of a power out of range only the sign matters, which Atoi keeps.
		power, _ = strconv.Atoi(number[i+1:])
		power = min(max(power, -2*MaxSize), 2*MaxSize)
		number = number[:i]
	}
	whole, fraction, _ := strings.Cut(number, ".")
	digits := whole + fraction
	point := len(whole) + power // of digits
	var s int64
	for i := 0; i < point; i++ {
		s *= 10
		if i < len(digits) {
			s += int64(digits[i] - '0')
		} else if s == 0 {
			break // zeros all along
		}
		if s > 999_999_999_999 {
			return 0, false
		}
	}
	if up && strings.Trim(digits[min(max(point, 0), len(digits)):], "0") != "" {
		s++
	}
	return s, true
}

// parseJSON reads one document, which only white space may follow.
func parseJSON(b []byte) (node, error) {
	p := jsonParser{b: b}
	p.space()
	n, err := p.value(0)
	if err != nil {
		return node{}, err
	}
	p.space()
	if p.i != len(b) {
		return node{}, errSyntax
	}
	return n, nil
}

type jsonParser struct {
	b []byte
	i int
}

func (p *jsonParser) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *jsonParser) peek() byte {
	if p.i < len(p.b) {
		return p.b[p.i]
	}
	return 0
}

func (p *jsonParser) value(depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errDepth
	}
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.text()
		return node{kind: kindText, text: s}, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for _, w := range [...]struct {
		word string
		kind kind
	}{{"null", kindNull}, {"true", kindBool}, {"false", kindBool}} {
		if end := p.i + len(w.word); end <= len(p.b) && string(p.b[p.i:end]) == w.word {
			p.i = end
			return node{kind: w.kind, text: w.word}, nil
		}
	}
	return node{}, errSyntax
}

func (p *jsonParser) object(depth int) (node, error) {
	n := node{kind: kindObject}
	var seen map[string]struct{} // only for large objects
	p.i++
	p.space()
	if p.peek() == '}' {
		p.i++
		return n, nil
	}
	for {
		if p.peek() != '"' {
			return node{}, errSyntax
		}
		name, err := p.text()
		if err != nil {
			return node{}, err
		}
		if len(n.names) == 16 {
			seen = make(map[string]struct{}, 64)
			for _, s := range n.names {
				seen[s] = struct{}{}
			}
		}
		if seen != nil {
			if _, ok := seen[name]; ok {
				return node{}, errDuplicate
			}
			seen[name] = struct{}{}
		} else if _, ok := n.member(name); ok {
			return node{}, errDuplicate
		}
		p.space()
		if p.peek() != ':' {
			return node{}, errSyntax
		}
		p.i++
		p.space()
		v, err := p.value(depth + 1)
		if err != nil {
			return node{}, err
		}
		n.names = append(n.names, name)
		n.items = append(n.items, v)
		p.space()
		switch p.peek() {
		case ',':
			p.i++
			p.space()
		case '}':
			p.i++
			return n, nil
		default:
			return node{}, errSyntax
		}
	}
}

func (p *jsonParser) array(depth int) (node, error) {
	n := node{kind: kindArray}
	p.i++
	p.space()
	if p.peek() == ']' {
		p.i++
		return n, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, v)
		p.space()
		switch p.peek() {
		case ',':
			p.i++
			p.space()
		case ']':
			p.i++
			return n, nil
		default:
			return node{}, errSyntax
		}
	}
}

func (p *jsonParser) number() (node, error) {
	start := p.i
	digits := func() bool {
		from := p.i
		for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
			p.i++
		}
		return p.i > from
	}
	if p.peek() == '-' {
		p.i++
	}
	if p.peek() == '0' {
		p.i++
	} else if !digits() {
		return node{}, errSyntax
	}
	if p.peek() == '.' {
		p.i++
		if !digits() {
			return node{}, errSyntax
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.i++
		if c := p.peek(); c == '+' || c == '-' {
			p.i++
		}
		if !digits() {
			return node{}, errSyntax
		}
	}
	return node{kind: kindNumber, text: string(p.b[start:p.i])}, nil
}

// text reads a string whose opening quote is p.b[p.i].
func (p *jsonParser) text() (string, error) {
	p.i++
	start := p.i
	var out []byte // nil until an escape is met
	for p.i < len(p.b) {
		switch c := p.b[p.i]; {
		case c == '"':
			if out == nil {
				out = p.b[start:p.i]
			} else {
				out = append(out, p.b[start:p.i]...)
			}
			p.i++
			if !utf8.Valid(out) {
				return "", errText
			}
			return string(out), nil
		case c < 0x20:
			return "", errSyntax
		case c == '\\':
			if out == nil {
				out = make([]byte, 0, 64)
			}
			out = append(out, p.b[start:p.i]...)
			p.i++
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
			start = p.i
		default:
			p.i++
		}
	}
	return "", errSyntax
}

// escape reads the rest of an escape sequence. It refuses a lone surrogate.
func (p *jsonParser) escape() (rune, error) {
	c := p.peek()
	p.i++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		r, err := p.hex4()
		if err != nil || !utf16.IsSurrogate(r) {
			return r, err
		}
		if p.peek() != '\\' {
			return 0, errText
		}
		p.i++
		if p.peek() != 'u' {
			return 0, errText
		}
		p.i++
		low, err := p.hex4()
		if err != nil {
			return 0, err
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return 0, errText
		}
		return r, nil
	}
	return 0, errSyntax
}

func (p *jsonParser) hex4() (rune, error) {
	if p.i+4 > len(p.b) {
		return 0, errSyntax
	}
	var r rune
	for _, c := range p.b[p.i : p.i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, errSyntax
		}
		r = r<<4 | rune(c)
	}
	p.i += 4
	return r, nil
}

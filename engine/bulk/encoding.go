package bulk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// Encoding is how a file encodes its text. Values are transformed as UTF-8 whatever the
// file's encoding is, so an identifier has one pseudonym in all of them.
type Encoding string

// The encodings. ByMark is UTF-8, or UTF-16 if the input begins with its byte order mark; as
// the output's encoding it is the input's. ByContent also examines the first bytes of an
// input: what is not UTF-8 is UTF-16 if every second byte is zero, else Windows1252.
const (
	ByMark      Encoding = ""
	ByContent   Encoding = "auto"
	UTF8        Encoding = "utf-8"     // output: without a byte order mark
	UTF8Marked  Encoding = "utf-8-bom" // output only: with one, as spreadsheets want it
	UTF16       Encoding = "utf-16"    // input: by its mark or zero bytes; output: little endian with a mark
	UTF16LE     Encoding = "utf-16le"  // output: without a mark
	UTF16BE     Encoding = "utf-16be"
	Latin1      Encoding = "latin1" // ISO 8859-1
	Windows1252 Encoding = "windows-1252"
)

// ParseEncoding reads the encoding of an input: "auto", "utf-8", "utf-16", "utf-16le",
// "utf-16be", "latin1" or "windows-1252"; "" is ByMark.
func ParseEncoding(s string) (Encoding, error) {
	switch e := Encoding(s); e {
	case ByMark, ByContent, UTF8, UTF16, UTF16LE, UTF16BE, Latin1, Windows1252:
		return e, nil
	}
	return "", fmt.Errorf("bulk: unknown encoding %q: use one of auto, utf-8, utf-16, utf-16le, utf-16be, latin1, windows-1252", s)
}

// ParseOutputEncoding reads the encoding of an output: that of an input without "auto", or
// "utf-8-bom"; "" is ByMark.
func ParseOutputEncoding(s string) (Encoding, error) {
	switch e := Encoding(s); e {
	case ByMark, UTF8, UTF8Marked, UTF16, UTF16LE, UTF16BE, Latin1, Windows1252:
		return e, nil
	}
	return "", fmt.Errorf("bulk: unknown encoding %q: use one of utf-8, utf-8-bom, utf-16, utf-16le, utf-16be, latin1, windows-1252", s)
}

// utf32 is recognised and not read.
const utf32 Encoding = "utf-32"

// encodingSample is the number of bytes from which an encoding is recognised.
const encodingSample = 64 << 10

// marks are the byte order marks, the longer ones first.
var marks = []struct {
	mark     string
	encoding Encoding
}{
	{"\xff\xfe\x00\x00", utf32},
	{"\x00\x00\xfe\xff", utf32},
	{"\xef\xbb\xbf", UTF8},
	{"\xff\xfe", UTF16LE},
	{"\xfe\xff", UTF16BE},
}

// markOf returns the encoding that a byte order mark states, or "".
func markOf(head []byte) Encoding {
	for _, m := range marks {
		if bytes.HasPrefix(head, []byte(m.mark)) {
			return m.encoding
		}
	}
	return ""
}

// zeroBytesOf returns the UTF-16 in which head is Western text: every second byte is zero.
func zeroBytesOf(head []byte) Encoding {
	head = head[:min(len(head), 512)&^1]
	var zeros [2]int
	for i, b := range head {
		if b == 0 {
			zeros[i&1]++
		}
	}
	half := len(head) / 2
	switch {
	case half < 8:
	case zeros[0] == 0 && zeros[1] >= half*3/4:
		return UTF16LE
	case zeros[1] == 0 && zeros[0] >= half*3/4:
		return UTF16BE
	}
	return ""
}

// EncodingError is text in another encoding, Found, than the one in which it is read.
// Job.Encoding may state it, unless it is UTF-32.
type EncodingError struct {
	File         string
	Found, Asked Encoding
}

func (e *EncodingError) Error() string {
	s := fmt.Sprintf("%s: is %s, not %s", e.File, e.Found, e.Asked)
	if e.Asked == UTF8 {
		s += fmt.Sprintf("; convert it first: iconv -f %s -t UTF-8 <IN >OUT", e.Found)
	}
	return s
}

// refuseUTF16 returns an error for UTF-16 that is to be read as UTF-8, in which a byte that
// equals a separator may be half a character.
func refuseUTF16(name string, head []byte) error {
	found := markOf(head)
	if found == "" || found == UTF8 {
		found = zeroBytesOf(head)
	}
	if found == "" {
		return nil
	}
	return &EncodingError{File: name, Found: found, Asked: UTF8}
}

// encodingOf returns the encoding in which the input is read, given its first bytes. why
// says how it was recognised, if it was.
func (j *Job) encodingOf(name string, head []byte) (e Encoding, why string, err error) {
	mark := markOf(head)
	differs := func(found Encoding) error {
		asked := j.Encoding
		if asked == ByMark || asked == ByContent {
			asked = UTF8
		}
		return &EncodingError{name, found, asked}
	}
	switch {
	case mark == utf32:
		return "", "", differs(mark)
	case j.Encoding == ByMark && (mark == "" || mark == UTF8):
		return UTF8, "", nil
	case j.Encoding == ByMark || j.Encoding == ByContent && mark != "":
		return mark, "by its byte order mark", nil
	case mark != "" && mark != j.Encoding && !(j.Encoding == UTF16 && mark != UTF8):
		return "", "", differs(mark)
	case mark != "":
		return mark, "", nil
	}
	zeros := zeroBytesOf(head)
	switch j.Encoding {
	case ByContent:
		switch {
		case zeros != "":
			return zeros, "by its zero bytes", nil
		case validUTF8Start(head):
			return UTF8, "", nil
		}
		return Windows1252, "as it is not UTF-8; give its encoding if it is another one", nil
	case UTF16:
		if zeros == "" {
			return "", "", usagef("%s: has no byte order mark; give utf-16le or utf-16be as its encoding", name)
		}
		return zeros, "by its zero bytes", nil
	case Latin1, Windows1252:
		if zeros != "" {
			return "", "", differs(zeros)
		}
		if validUTF8Start(head) && !isASCII(head) {
			return "", "", differs(UTF8)
		}
	}
	return j.Encoding, "", nil
}

// validUTF8Start reports whether head is UTF-8 but for a character that is cut at its end.
func validUTF8Start(head []byte) bool {
	for i := 1; i < utf8.UTFMax && i <= len(head); i++ {
		if tail := head[len(head)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				head = head[:len(head)-i]
			}
			break
		}
	}
	return utf8.Valid(head)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// charmapOf returns the table of an encoding of one byte per character, or nil.
func (e Encoding) charmapOf() *charmap.Charmap {
	switch e {
	case Latin1:
		return charmap.ISO8859_1
	case Windows1252:
		return charmap.Windows1252
	}
	return nil
}

// byteOrder returns the byte order of a UTF-16, or nil.
func (e Encoding) byteOrder() interface {
	binary.ByteOrder
	binary.AppendByteOrder
} {
	switch e {
	case UTF16, UTF16LE:
		return binary.LittleEndian
	case UTF16BE:
		return binary.BigEndian
	}
	return nil
}

// decodingReader reads text of another encoding as UTF-8. A byte order mark becomes that
// of UTF-8. It fails at what the encoding does not allow instead of replacing it.
type decodingReader struct {
	name string
	r    io.Reader
	e    Encoding

	in    []byte // read and not decoded
	out   []byte // decoded
	next  int    // offset in out of what was not returned yet
	at    int64  // offset in the input of in
	lines int64  // line feeds decoded
	err   error  // of r, or what the text is at fault for
}

func (d *decodingReader) Read(p []byte) (int, error) {
	for d.next == len(d.out) {
		if d.err != nil {
			return 0, d.err
		}
		d.fill()
	}
	n := copy(p, d.out[d.next:])
	d.next += n
	return n, nil
}

// fill reads once and decodes what came.
func (d *decodingReader) fill() {
	have := len(d.in)
	if cap(d.in) == 0 {
		d.in = make([]byte, 0, encodingSample)
	}
	n, err := d.r.Read(d.in[have:cap(d.in)])
	d.in = d.in[:have+n]
	d.out, d.next = d.out[:0], 0
	used, fault := d.decode(err == io.EOF)
	d.lines += int64(bytes.Count(d.out, lf))
	d.at += int64(used)
	d.in = append(d.in[:0], d.in[used:]...)
	switch {
	case fault != nil:
		d.err = &Error{File: d.name, Line: d.lines + 1, Offset: d.at + 1, Err: fault}
	case err != nil:
		d.err = err
	}
}

// errHalfCharacter is returned for UTF-16 text with half a character.
var errHalfCharacter = errors.New("half a character of UTF-16 stands here: the file is damaged, cut short, or in another encoding")

// decode appends in, decoded, to out, and returns how many bytes it used. last says that
// nothing follows.
func (d *decodingReader) decode(last bool) (used int, err error) {
	if table := d.e.charmapOf(); table != nil {
		for _, b := range d.in {
			if b < utf8.RuneSelf {
				d.out = append(d.out, b)
			} else {
				d.out = utf8.AppendRune(d.out, table.DecodeByte(b))
			}
		}
		return len(d.in), nil
	}
	order := d.e.byteOrder()
	for len(d.in)-used >= 2 {
		r := rune(order.Uint16(d.in[used:]))
		n := 2
		if utf16.IsSurrogate(r) {
			if len(d.in)-used < 4 && !last {
				break
			}
			low := rune(0)
			if len(d.in)-used >= 4 {
				low = rune(order.Uint16(d.in[used+2:]))
			}
			// DecodeRune returns U+FFFD, which no pair stands for, for anything but a pair.
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return used, errHalfCharacter
			}
			n = 4
		}
		d.out = utf8.AppendRune(d.out, r)
		used += n
	}
	if last && used < len(d.in) {
		return used, errHalfCharacter
	}
	return used, nil
}

// EncodeError is text that the output's encoding cannot hold. Job.OutputEncoding may name
// another one.
type EncodeError struct {
	Encoding Encoding
	NotUTF8  bool // the text is no valid UTF-8 to begin with

	rowsDropped bool // of the chunk, so the row is not the one in the line that was named
}

func (e *EncodeError) Error() string {
	where := "a row"
	if e.rowsDropped {
		where = "a row from here on"
	}
	if e.NotUTF8 {
		return fmt.Sprintf("%s holds bytes that are not UTF-8, so they cannot be written as %s", where, e.Encoding)
	}
	return fmt.Sprintf("%s holds a character that %s does not have", where, e.Encoding)
}

// encode appends src, UTF-8, to dst in the encoding e. If it cannot, at is the offset of the
// first character that e cannot hold, else -1.
func (e Encoding) encode(dst, src []byte) (out []byte, at int, err error) {
	table, order := e.charmapOf(), e.byteOrder()
	for at := 0; at < len(src); {
		r, n := rune(src[at]), 1
		if r >= utf8.RuneSelf {
			if r, n = utf8.DecodeRune(src[at:]); r == utf8.RuneError && n == 1 {
				return dst, at, &EncodeError{Encoding: e, NotUTF8: true}
			}
		}
		switch {
		case table == nil && r < 0x10000:
			dst = order.AppendUint16(dst, uint16(r))
		case table == nil:
			high, low := utf16.EncodeRune(r)
			dst = order.AppendUint16(order.AppendUint16(dst, uint16(high)), uint16(low))
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		default:
			b, ok := table.EncodeRune(r)
			if !ok {
				return dst, at, &EncodeError{Encoding: e}
			}
			dst = append(dst, b)
		}
		at += n
	}
	return dst, -1, nil
}

// outputEncoding is how the text of one output is written.
type outputEncoding struct {
	e    Encoding // UTF8 if the rows need no encoding
	mark int      // 1: the text begins with a byte order mark, -1: with none, 0: as the input's does
}

// outputEncodingOf returns how to write the output of an input in the given encoding.
func (j *Job) outputEncodingOf(input Encoding) outputEncoding {
	switch e := j.OutputEncoding; e {
	case ByMark:
		return outputEncoding{input, 0}
	case UTF8Marked:
		return outputEncoding{UTF8, 1}
	case UTF16:
		return outputEncoding{UTF16LE, 1}
	default:
		return outputEncoding{e, -1}
	}
}

// prefix returns the text before the rows as the output begins with it.
func (o outputEncoding) prefix(text []byte) ([]byte, error) {
	if rest, has := bytes.CutPrefix(text, bom); has && o.mark < 0 {
		text = rest
	} else if !has && o.mark > 0 {
		text = append(bytes.Clone(bom), text...)
	}
	return o.encode(text)
}

// encode returns text in the output's encoding.
func (o outputEncoding) encode(text []byte) ([]byte, error) {
	if o.e == UTF8 {
		return text, nil
	}
	out, at, err := o.e.encode(nil, text)
	if err != nil {
		return nil, &Error{Line: 1 + int64(bytes.Count(text[:at], lf)), Err: err}
	}
	return out, nil
}

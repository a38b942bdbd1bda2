// Package audit keeps the audit log: one line of JSON for every request, run and
// act on keys. Each line holds the digest of the one before, so that no record
// can be changed, removed or moved without breaking the chain. Records hold
// counts and identifiers of tokens, projects and requests; no field can hold a
// value.
//
// # The file
//
// Every line is one record, as
//
//	{"seq":7,"prev":"…","time":"2026-11-23T20:18:00.123456789Z","kind":"request",…,"sum":"…"}
//
// seq counts up by one through all files of a log. prev is the SHA-256, in
// lower-case hexadecimal, of the bytes of the line before without its line end;
// 64 zeros in record 1. sum is the SHA-256 of the line's own bytes up to the
// comma before "sum", so that damage to the last record is found too. The chain
// proves that the log is complete up to its end. Signed heads (see [Head]), which
// are in the log and in the heads file beside it, prove that its end was not cut
// off and that it was not written anew. For records after the last head, and for a
// log without heads, only a noted [Report.Seq] and [Report.Head] prove that.
//
// The log itself makes four kinds of records: "head" signs the record before it,
// "rotated" begins a file that continues another, "recovered" follows a line that
// a crash left torn and gives its length and digest, and "gap" counts records
// that could not be written before it.
//
// A log has mode 0600. Several processes may append to it at the same time: each
// append holds an advisory lock (flock) on the file.
package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// Errors of writing a log.
var (
	// ErrRecord is returned for a record whose kind, operation, outcome or counts are
	// invalid. Nothing is written.
	ErrRecord = errors.New("audit: invalid record")

	// ErrBroken is returned by Open and Append if the file ends with neither a record
	// nor a line torn by a crash. Nothing is written to such a file.
	ErrBroken = errors.New("audit: log is broken")

	// ErrClosed is returned after Close.
	ErrClosed = errors.New("audit: log is closed")
)

// Record describes one request, run or act on keys.
type Record struct {
	Time    time.Time // now when zero
	Kind    string    // what made the record, as "request" or "run": a to z and '-', 1 to 32 bytes
	Request string    // request or run identifier
	JTI     string    // identifier of the token; leave it out when the token did not verify
	Project string    // target domain
	Org     string
	Source  string // source domain of a secondary operation
	SrcOrg  string
	Op      string // a to z and '-', up to 32 bytes
	Outcome string // "OK" or an error code: A to Z, 0 to 9 and '_', 1 to 64 bytes

	Values int64 // how many were given, empty ones included
	Empty  int64 // how many of them were empty
	Bad    int64 // how many could not be transformed

	// Sync makes Append return only when the record is on disk. It is not part of the
	// record.
	Sync bool

	// Head signs a head after the record, in the same write, if the log has a signer. It
	// is not part of the record.
	Head bool
}

// Identifiers longer than this many bytes are cut and end in "…".
const (
	maxRequest = 128
	maxJTI     = 1024
	maxName    = 255
)

// maxLine bounds a line that is read. Lines that are written have less than 6 KiB: the
// identifiers, every byte escaped, and 400 bytes around them.
const maxLine = 1 << 20

func (r *Record) check() error {
	switch {
	case !validWord(r.Kind, 1, 32, false):
		return fmt.Errorf("%w: kind must be 1 to 32 of a-z and '-'", ErrRecord)
	case !validWord(r.Op, 0, 32, false):
		return fmt.Errorf("%w: op must be up to 32 of a-z and '-'", ErrRecord)
	case !validWord(r.Outcome, 1, 64, true):
		return fmt.Errorf("%w: outcome must be 1 to 64 of A-Z, 0-9 and '_'", ErrRecord)
	case r.Values < 0 || r.Empty < 0 || r.Bad < 0:
		return fmt.Errorf("%w: a count is negative", ErrRecord)
	case r.Kind == kindRotated || r.Kind == kindRecovered || r.Kind == kindGap || r.Kind == kindHead:
		return fmt.Errorf("%w: kind %q is the log's own", ErrRecord, r.Kind)
	}
	return nil
}

func validWord(s string, low, high int, upper bool) bool {
	if len(s) < low || len(s) > high {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if upper {
			if !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
				return false
			}
		} else if !(c >= 'a' && c <= 'z' || c == '-') {
			return false
		}
	}
	return true
}

const (
	kindRotated   = "rotated"
	kindRecovered = "recovered"
	kindGap       = "gap"
	kindHead      = "head"
)

// clock formats times as RFC 3339 in UTC with nine fractional digits. It caches the text
// of the last second, which most records share.
type clock struct {
	second int64 // Unix time of text; 0 with an empty text
	text   []byte
}

const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

func (c *clock) append(b []byte, t time.Time) []byte {
	if s := t.Unix(); s != c.second || len(c.text) == 0 {
		c.second = s
		c.text = t.UTC().AppendFormat(c.text[:0], "2006-01-02T15:04:05.")
	}
	b = append(b, c.text...)
	n := uint32(t.Nanosecond())
	b = append(b, "000000000Z"...)
	for i := len(b) - 2; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// appendBody appends the members of a record between prev and sum.
func (r *Record) appendBody(b []byte, now time.Time, c *clock) []byte {
	t := r.Time
	if t.IsZero() {
		t = now
	}
	b = append(b, `"time":"`...)
	b = c.append(b, t)
	b = append(b, `","kind":"`...)
	b = append(b, r.Kind...)
	b = append(b, '"')
	b = appendText(b, `,"request":"`, r.Request, maxRequest)
	b = appendText(b, `,"jti":"`, r.JTI, maxJTI)
	b = appendText(b, `,"prj":"`, r.Project, maxName)
	b = appendText(b, `,"org":"`, r.Org, maxName)
	b = appendText(b, `,"src_prj":"`, r.Source, maxName)
	b = appendText(b, `,"src_org":"`, r.SrcOrg, maxName)
	b = appendText(b, `,"op":"`, r.Op, maxName)
	b = append(b, `,"values":`...)
	b = strconv.AppendInt(b, r.Values, 10)
	b = append(b, `,"empty":`...)
	b = strconv.AppendInt(b, r.Empty, 10)
	b = append(b, `,"bad":`...)
	b = strconv.AppendInt(b, r.Bad, 10)
	b = append(b, `,"outcome":"`...)
	b = append(b, r.Outcome...)
	return append(b, '"')
}

// appendText appends a member unless s is empty. No identifier may prevent its record from
// being written: control characters and invalid UTF-8 become U+FFFD, and texts longer than
// limit are cut.
func appendText(b []byte, member, s string, limit int) []byte {
	if s == "" {
		return b
	}
	b = append(b, member...)
	if len(s) <= limit && needsNoEscape(s) {
		b = append(b, s...)
		return append(b, '"')
	}
	cut := false
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s, cut = s[:limit], true
	}
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < 0x20 || c == 0x7f:
				b = append(b, "\ufffd"...)
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if unicode.IsControl(r) {
			r = utf8.RuneError
		}
		b = utf8.AppendRune(b, r)
		i += n
	}
	if cut {
		b = append(b, "…"...)
	}
	return append(b, '"')
}

// needsNoEscape reports whether s is printable ASCII without quote and backslash, as nearly
// all identifiers are.
func needsNoEscape(s string) bool {
	var odd byte
	for i := 0; i < len(s); i++ {
		odd |= special[s[i]]
	}
	return odd == 0
}

// special is 1 for the bytes that needsNoEscape refuses.
var special = func() (t [256]byte) {
	for i := range t {
		if i < 0x20 || i >= 0x7f || i == '"' || i == '\\' {
			t[i] = 1
		}
	}
	return t
}()

// digest is a SHA-256.
type digest [sha256.Size]byte

// appendHex appends the digest as 64 lower-case digits.
func (d *digest) appendHex(b []byte) []byte {
	n := len(b)
	b = append(b, noDigest...)
	for i, c := range d {
		binary.LittleEndian.PutUint16(b[n+2*i:], hexPairs[c])
	}
	return b
}

// noDigest is the digest before record 1.
const noDigest = "0000000000000000000000000000000000000000000000000000000000000000"

// hexPairs holds the two hexadecimal digits of each byte, the first in the low half.
var hexPairs = func() (t [256]uint16) {
	const digits = "0123456789abcdef"
	for i := range t {
		t[i] = uint16(digits[i>>4]) | uint16(digits[i&15])<<8
	}
	return t
}()

// head is the end of a chain. The zero head is that of an empty log.
type head struct {
	seq uint64
	sum digest // of the bytes of the last line
}

// appendLine appends the record that follows h, with its line end, and advances h. Each
// byte is hashed once: the digest of the line continues the one for its sum. d must be a
// SHA-256; appendLine resets it.
func (h *head) appendLine(b, body []byte, d hash.Hash) []byte {
	start := len(b)
	h.seq++
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, h.seq, 10)
	b = append(b, `,"prev":"`...)
	b = h.sum.appendHex(b)
	b = append(b, `",`...)
	b = append(b, body...)
	end := len(b)
	d.Reset()
	d.Write(b[start:])
	d.Sum(h.sum[:0])
	b = append(b, sumStart...)
	b = h.sum.appendHex(b)
	b = append(b, sumEnd...)
	d.Write(b[end:])
	d.Sum(h.sum[:0])
	return append(b, '\n')
}

const (
	sumStart = `,"sum":"`
	sumEnd   = `"}`
	sumTail  = len(sumStart) + 2*sha256.Size + len(sumEnd)
)

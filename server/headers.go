package server

import (
	"bytes"
	"strconv"
	"strings"
)

// bodyFormat is the format of a request's or an answer's body.
type bodyFormat uint8

const (
	formatUnknown bodyFormat = iota
	formatJSON
	formatCSV
	formatArrow
)

// coding is a content coding of HTTP.
type coding uint8

const (
	codingUnknown coding = iota
	codingIdentity
	codingGzip
	codingZstd
)

func (c coding) String() string {
	switch c {
	case codingGzip:
		return "gzip"
	case codingZstd:
		return "zstd"
	}
	return "identity"
}

// bearer returns the token of an Authorization header (RFC 6750 §2.1), or nil if the
// header is absent, has another scheme or no token. The scheme is case-insensitive.
func bearer(h []byte) []byte {
	const scheme = "bearer"
	if len(h) <= len(scheme) || !equalFold(h[:len(scheme)], scheme) || h[len(scheme)] != ' ' {
		return nil
	}
	return bytes.Trim(h[len(scheme):], " \t")
}

// mediaType parses a Content-Type. Parameters are allowed and ignored: JSON is UTF-8
// whatever charset claims, and the fields of a CSV are bytes.
func mediaType(h []byte) bodyFormat {
	if string(h) == "application/json" { // nearly always
		return formatJSON
	}
	if i := bytes.IndexByte(h, ';'); i >= 0 {
		h = h[:i]
	}
	switch h = bytes.Trim(h, " \t"); {
	case equalFold(h, "application/json"):
		return formatJSON
	case equalFold(h, "text/csv"):
		return formatCSV
	case equalFold(h, "application/vnd.apache.arrow.stream"):
		return formatArrow
	}
	return formatUnknown
}

// contentCoding parses a Content-Encoding of at most one coding.
func contentCoding(h []byte) coding {
	switch h = bytes.Trim(h, " \t"); {
	case len(h) == 0, equalFold(h, "identity"):
		return codingIdentity
	case equalFold(h, "gzip"), equalFold(h, "x-gzip"):
		return codingGzip
	case equalFold(h, "zstd"):
		return codingZstd
	}
	return codingUnknown
}

// wantsCSV reports whether an Accept header prefers text/csv: it names it with a weight
// that is not below that of JSON. Everything else is answered with JSON, so that no
// request is refused for its Accept header.
func wantsCSV(h []byte) bool {
	if len(h) == 0 {
		return false
	}
	csv, json, csvFirst := -1, -1, false
	eachItem(h, func(name []byte, q int) {
		switch {
		case equalFold(name, "text/csv"):
			csvFirst = json < 0
			csv = max(csv, q)
		case equalFold(name, "application/json"):
			json = max(json, q)
		}
	})
	return csv > 0 && (csv > json || csv == json && csvFirst)
}

// acceptCoding returns the coding of the answer that an Accept-Encoding header asks for:
// the one with the greatest weight; of equal weights zstd before gzip before identity.
func acceptCoding(h []byte) coding {
	if len(h) == 0 {
		return codingIdentity
	}
	gzip, zstd, plain, any := -1, -1, -1, -1
	eachItem(h, func(name []byte, q int) {
		switch {
		case equalFold(name, "gzip"), equalFold(name, "x-gzip"):
			gzip = q
		case equalFold(name, "zstd"):
			zstd = q
		case equalFold(name, "identity"):
			plain = q
		case len(name) == 1 && name[0] == '*':
			any = q
		}
	})
	if gzip < 0 {
		gzip = any
	}
	// "*" alone does not ask for zstd: few clients that send it decode zstd.
	switch {
	case zstd > 0 && zstd >= gzip && zstd >= plain:
		return codingZstd
	case gzip > 0 && gzip >= plain:
		return codingGzip
	}
	return codingIdentity
}

// eachItem calls f for every element of a list header with its weight in thousandths
// (RFC 9110 §12.4.2). A malformed weight counts as 0.
func eachItem(h []byte, f func(name []byte, q int)) {
	for len(h) > 0 {
		item := h
		if i := bytes.IndexByte(h, ','); i >= 0 {
			item, h = h[:i], h[i+1:]
		} else {
			h = nil
		}
		name, params := item, []byte(nil)
		if i := bytes.IndexByte(item, ';'); i >= 0 {
			name, params = item[:i], item[i+1:]
		}
		if name = bytes.Trim(name, " \t"); len(name) == 0 {
			continue
		}
		f(name, weight(params))
	}
}

// weight returns the parameter q in thousandths, 1000 if there is none.
func weight(params []byte) int {
	for len(params) > 0 {
		p := params
		if i := bytes.IndexByte(params, ';'); i >= 0 {
			p, params = params[:i], params[i+1:]
		} else {
			params = nil
		}
		p = bytes.Trim(p, " \t")
		if len(p) < 2 || p[0]|0x20 != 'q' || p[1] != '=' {
			continue
		}
		v, err := strconv.ParseFloat(string(p[2:]), 64)
		if err != nil || !(v >= 0 && v <= 1) {
			return 0
		}
		return int(v * 1000)
	}
	return 1000
}

// maxRequestID is the longest request id that is taken over from a caller.
const maxRequestID = 128

// validRequestID reports whether a caller's id may be echoed and logged: 1 to 128
// characters, none of which has a meaning in a log or a header.
func validRequestID(id []byte) bool {
	if len(id) == 0 || len(id) > maxRequestID {
		return false
	}
	for _, c := range id {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("-_.:/+=~", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// equalFold reports whether b equals lower, which is in lower case, ignoring ASCII case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// The header names and values of every answer, in fasthttp's canonical spelling.
var (
	hdrAccept         = []byte("Accept")
	hdrAcceptEncoding = []byte("Accept-Encoding")
	hdrCacheControl   = []byte("Cache-Control")
	hdrContentOptions = []byte("X-Content-Type-Options")
	hdrRequestID      = []byte("X-Request-Id")
	hdrRetryAfter     = []byte("Retry-After")
	hdrValuesLeft     = []byte("X-Values-Left")
	hdrSecurityPolicy = []byte("Content-Security-Policy")
	hdrTransport      = []byte("Strict-Transport-Security")

	valNoStore   = []byte("no-store")
	valNoSniff   = []byte("nosniff")
	valPolicy    = []byte("default-src 'none'; frame-ancestors 'none'")
	valTransport = []byte("max-age=31536000")

	mimeJSON    = []byte("application/json")
	mimeCSV     = []byte("text/csv; charset=utf-8")
	mimeArrow   = []byte("application/vnd.apache.arrow.stream")
	mimeProblem = []byte("application/problem+json")
)

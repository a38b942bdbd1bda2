package token

import (
	"encoding/json"
	"fmt"
)

// Decoded is a token decoded for display. Nothing of it is verified.
type Decoded struct {
	Header json.RawMessage // as in the token
	Claims json.RawMessage // as in the token
	// Read holds the claims. It is nil if a verifier would refuse them whoever
	// signed; Problem then says why.
	Read    *Claims
	Problem *Error
	Faults  []Fault // of header and claims; Problem is the first

	header    header
	claims    Claims // as far as they can be read
	audiences []string
}

// Decode decodes a token for display and verifies nothing. It returns an error only if
// raw is not a token at all; a token that every verifier would refuse has a Problem.
func Decode(raw []byte) (*Decoded, error) {
	if len(raw) > MaxSize {
		return nil, invalid(tooLong)
	}
	head, payload, _, ok := segments(raw)
	if !ok {
		return nil, invalid("not three parts of base64url with points between")
	}
	d := &Decoded{}
	for _, part := range [...]struct {
		name string
		from []byte
		into *json.RawMessage
	}{{"header", head, &d.Header}, {"claims", payload, &d.Claims}} {
		b, err := strictBase64.AppendDecode(nil, part.from)
		if err != nil || !json.Valid(b) {
			return nil, invalid(fmt.Sprintf("the %s cannot be read", part.name))
		}
		*part.into = b
	}
	var f faults
	d.header = readHeader(head, &f)
	n, err := parseJSON(d.Claims)
	if err != nil {
		f.add("claims", "the claims cannot be read: "+err.Error())
	} else {
		d.claims, d.audiences = readClaims(&n, &f)
		if n.kind == kindObject {
			var inPSN faults // so that one fault does not hide that others go together
			d.claims.PSN = readPSN(&n, &inPSN)
			f = append(f, inPSN...)
		}
	}
	d.Faults, d.Problem = f, f.err()
	if d.Problem == nil {
		d.Read = &d.claims
	}
	return d, nil
}

const tooLong = "longer than 8 KiB"

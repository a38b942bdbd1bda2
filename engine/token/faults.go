package token

import "cmp"

// Fault is one defect of a token. Its texts hold nothing of the token but names of the
// contract.
type Fault struct {
	Code   string `json:"code"`   // of the refusal that it causes
	Claim  string `json:"claim"`  // its place: psn.tag, header.alg, signature
	Detail string `json:"detail"` // the defect
	Remedy string `json:"remedy"` // what the issuer, or someone else, must do
}

// faults collects the faults of a token. The verifier refuses for the first.
type faults []Fault

// add appends a fault with the remedy of its claim.
func (f *faults) add(claim, detail string) {
	*f = append(*f, Fault{InvalidToken, claim, detail, remedies[claim]})
}

// addError appends a refusal, with this remedy or, if it is empty, that of the claim.
func (f *faults) addError(claim string, err *Error, remedy string) {
	*f = append(*f, Fault{err.Code, claim, err.Detail, cmp.Or(remedy, remedies[claim])})
}

// err returns the first fault as a refusal, nil if there is none.
func (f faults) err() *Error {
	if len(f) == 0 {
		return nil
	}
	return refuse(f[0].Code, f[0].Detail)
}

// has reports whether one of these claims has a fault.
func (f faults) has(claims ...string) bool {
	for _, fault := range f {
		for _, c := range claims {
			if fault.Claim == c {
				return true
			}
		}
	}
	return false
}

// remedies tell an issuer what to write in each claim.
var remedies = map[string]string{
	"header":     "write a JSON object with alg, typ and, best, kid",
	"header.alg": "sign with EdDSA, ES256, PS256 or RS256, and say which in alg",
	"header.typ": `write "psn+jwt" or "JWT"`,
	"header.kid": "write the id of the key in the issuer's JWK Set, 1 to 256 bytes, or leave it out",
	"signature":  "sign the token with the key that kid names in the issuer's JWK Set, and change nothing after that",
	"claims":     "write one JSON object, each member once",
	"iss":        "write the issuer's name, a text of 1 to 1024 bytes",
	"aud":        "write the name of this service, a text or a list of texts",
	"jti":        "write a text of 1 to 256 bytes that no other token of the issuer has",
	"iat":        "write the time of issue, in seconds since 1970",
	"nbf":        "write a time in seconds since 1970, or leave it out",
	"exp":        "write the token's end, in seconds since 1970",
	"psn":        "write a JSON object with at least v, op, dom and method",
	"psn.v":      "write 1",
	"psn.op":     `write "pseudonymise", "reverse" or "secondary"`,
	"psn.dom":    `write {"prj": "NAME", "org": "NAME"}; org is "" for a project without organisations`,
	"psn.src":    `for secondary, write {"prj": "NAME", "org": "NAME"} of the project that made the pseudonyms, and leave it out otherwise`,
	"psn.method": `write "reversible" or "irreversible", as the project is`,
	"psn.policy": `write "same", "different" or "document", as the project has it; without it "same" is meant`,
	"psn.fmt":    `write "pair62", "hex", "b64u", "b32", "uuid", "digits" or "fpe:ALPHABET"; without it "pair62" is meant`,
	"psn.tag":    "write 0, 64 or 128, as the project has it; without it 0 is meant",
	"psn.gen":    "write the number of a generation, 0 to 11, or leave it out for the active one",
	"psn.ret":    "write the end of the project's retention, or an earlier time, in seconds since 1970; a reversible method needs it",
	"psn.norm":   "write a list of at most 16 of trim, nfc, upper, lower and digits, or leave it out",
	"psn.err":    `write "strict" or "item"; without it "strict" is meant`,
	"psn.lim":    "write an object of max, rate and req, each a whole number from 1 to 9007199254740992, or leave it out",
}

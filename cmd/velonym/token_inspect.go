package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/token"
)

// inspection is what `token inspect --json` prints.
type inspection struct {
	Header json.RawMessage `json:"header"` // as in the token
	Claims json.RawMessage `json:"claims"` // as in the token
	// Verifies is the verifier's verdict; null if the keystore could not be read.
	Verifies *bool  `json:"verifies"`
	Code     string `json:"code,omitempty"`   // of the refusal, as the HTTP contract names it
	Detail   string `json:"detail,omitempty"` // of the refusal
	Left     *int64 `json:"left,omitempty"`   // of psn.lim.max, if the token verifies
	// Faults are all faults of the token that could be found without what is unreadable.
	Faults []token.Fault `json:"faults,omitempty"`
}

func newTokenInspect(g *globals) *cobra.Command {
	var trust verifierFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect [FILE|-]",
		Short: "Decoded claims, what the token allows, and whether it verifies here",
		Long: `Prints what a token says, read from FILE, standard input (-) or VELONYM_TOKEN, and
whether it verifies against the keystore in --dir. Exit status 1 when it does not: then
all that is wrong is listed, with what the token's issuer must change.
With --jwks, --hs256 and --audience it is judged as by a server with these flags.

With --json standard output is one object: header and claims as they stand in the
token, verifies (true, false, or null when the keystore cannot be asked), code and
detail of a refusal, left: how many values are left of psn.lim.max, and faults, each
with code, claim, detail and remedy.`,
		Example: `  velonym token inspect token
  velonym token inspect --json - < token
  velonym token inspect --jwks https://login.example=keys.json --audience velonym token`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from := ""
			if len(args) == 1 {
				if from = args[0]; from == "" {
					return usagef("token inspect: the file name is empty")
				}
			}
			if from == "" && os.Getenv("VELONYM_TOKEN") == "" {
				return usagef("token inspect: name the token's file, - for standard input, or set VELONYM_TOKEN")
			}
			raw, err := readToken(from, cmd.InOrStdin())
			if err != nil {
				return err
			}
			decoded, err := token.Decode(raw)
			if err != nil {
				return err
			}
			// A token with invalid UTF-8 is refused, but its output must be valid.
			decoded.Header, decoded.Claims = bytes.ToValidUTF8(decoded.Header, []byte("\ufffd")), bytes.ToValidUTF8(decoded.Claims, []byte("\ufffd"))
			doc := inspection{Header: decoded.Header, Claims: decoded.Claims}
			verdict := g.verifyForInspection(cmd, raw, decoded, trust, &doc)
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), doc)
			} else {
				err = printToken(cmd.OutOrStdout(), decoded, &doc)
			}
			return errors.Join(verdict, err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	trust.add(cmd.Flags())
	return cmd
}

// verifyForInspection verifies the token and fills in doc. It returns an error if the token
// does not verify.
func (g *globals) verifyForInspection(cmd *cobra.Command, raw []byte, decoded *token.Decoded, trust verifierFlags, doc *inspection) error {
	no, yes := false, true
	doc.Faults = decoded.Faults
	var unreadable error
	if p := decoded.Problem; p != nil {
		doc.Verifies, doc.Code, doc.Detail = &no, p.Code, p.Detail
		unreadable = fmt.Errorf("does not verify: %s: %s", p.Code, p.Detail)
	}
	ks, err := g.openKeystore(cmd.Context())
	if err != nil {
		return cmp.Or(unreadable, err)
	}
	defer ks.Close()
	verifier, err := newVerifier(cmd.Context(), ks, trust)
	if err != nil {
		return err
	}
	defer verifier.Close()
	if list, err := verifier.Examine(cmd.Context(), raw); err == nil {
		doc.Faults = list
	}
	if unreadable != nil {
		return unreadable
	}
	grant, err := verifier.Verify(cmd.Context(), raw, token.OpsAny)
	if err != nil {
		var refused *token.Error
		if errors.As(err, &refused) {
			doc.Verifies, doc.Code, doc.Detail = &no, refused.Code, refused.Detail
			return fmt.Errorf("does not verify here: %s: %s", refused.Code, refused.Detail)
		}
		return err
	}
	defer grant.Release()
	doc.Verifies = &yes
	left, limited, err := grant.Unspent(cmd.Context())
	if limited && err == nil {
		doc.Left = &left
	}
	return err
}

// printToken writes the claims of a token, one a line, its permission in words, and the
// verdict with all faults.
func printToken(out io.Writer, decoded *token.Decoded, doc *inspection) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, part := range []struct {
		name string
		doc  json.RawMessage
	}{{"header.", decoded.Header}, {"", decoded.Claims}} {
		if err := listMembers(w, part.name, part.doc); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if decoded.Read != nil {
		printPermission(out, decoded.Read)
	}
	verdict := "not known: the keystore could not be asked"
	if doc.Verifies != nil {
		verdict = "no: " + doc.Code + ": " + doc.Detail
		if *doc.Verifies {
			verdict = "yes"
		}
	}
	if doc.Left != nil {
		fmt.Fprintf(out, "left: %d values of %d\n", *doc.Left, decoded.Read.PSN.Lim.Max)
	}
	if _, err := fmt.Fprintf(out, "verifies here: %s\n", verdict); err != nil || len(doc.Faults) == 0 {
		return err
	}
	fmt.Fprintln(out, "what is wrong, and what its issuer must change:")
	for _, f := range doc.Faults {
		if _, err := fmt.Fprintf(w, "  %s\t%s\n\t-> %s\n", cmp.Or(f.Claim, "token"), f.Detail, cmp.Or(f.Remedy, "issue a new token")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// listMembers writes the members of a JSON object in their order, nested objects member by
// member. Values are written as JSON, so that they cannot contain terminal escapes.
func listMembers(w io.Writer, prefix string, doc json.RawMessage) error {
	dec := json.NewDecoder(bytes.NewReader(doc))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		name := cmp.Or(strings.TrimSuffix(prefix, "."), "claims")
		_, err := fmt.Fprintf(w, "%s\t%s\n", name, printable(string(doc)))
		return err
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string) // the decoder lets nothing else pass here
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return err
		}
		var line bytes.Buffer
		if err := json.Compact(&line, v); err != nil {
			return err
		}
		v = line.Bytes()
		name = printable(prefix + name)
		if len(v) > 2 && v[0] == '{' && strings.Count(name, ".") < 3 {
			if err := listMembers(w, name+".", v); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(w, "%s\t%s%s\n", name, printable(string(v)), asDate(name, v)); err != nil {
			return err
		}
	}
	return nil
}

// asDate returns the value of a date claim as a date in parentheses, "" for other claims.
func asDate(name string, v json.RawMessage) string {
	switch name {
	case "iat", "exp", "nbf", "psn.ret":
		if s, err := strconv.ParseFloat(string(v), 64); err == nil && s >= 0 && s < 253402300800 {
			return " (" + time.Unix(int64(s), 0).UTC().Format(time.RFC3339) + ")"
		}
	}
	return ""
}

// printable returns s, quoted and escaped if it has characters that do not print.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.QuoteToGraphic(s)
	}
	return s
}

// printPermission writes what a token allows in words.
func printPermission(w io.Writer, c *token.Claims) {
	p := c.PSN
	of := printable(p.Dom.Prj)
	if p.Dom.Org != "" {
		of += ", organisation " + printable(p.Dom.Org)
	}
	if p.Src != nil {
		of += ", from " + printable(p.Src.Prj)
		if p.Src.Org != "" {
			of += ", organisation " + printable(p.Src.Org)
		}
	}
	fmt.Fprintf(w, "allows: %s for %s (%s, policy %s, form %s, tag %d)\n", p.Op, of, p.Method, p.Policy, p.Fmt, p.Tag)
	fmt.Fprintf(w, "until: %s\n", localTime(c.Expires))
	for _, l := range []struct {
		n    int64
		unit string
	}{{p.Lim.Max, "values in all"}, {p.Lim.Rate, "values a second"}, {p.Lim.Req, "values a request"}} {
		if l.n > 0 {
			fmt.Fprintf(w, "limit: %d %s\n", l.n, l.unit)
		}
	}
}

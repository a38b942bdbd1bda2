package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
)

func newAudit(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check, read and export the record of what was done",
		Example: `  velonym audit verify
  velonym audit query --project register`,
		Args: cobra.NoArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(newAuditVerify(g), newAuditQuery(g), newAuditExport(g))
	return cmd
}

// auditVerify are the flags of `velonym audit verify`.
type auditVerify struct {
	anchors []string
	keys    []string
	heads   string
	log     string
	tsaCA   string
	anew    bool
}

func newAuditVerify(g *globals) *cobra.Command {
	var f auditVerify
	verify := &cobra.Command{
		Use:   "verify [FILE …]",
		Short: "Check the chain of records; names the first broken one",
		Long: `Checks that every record carries the digest of the one before it, and names the
first that does not. Without a file it checks DIR/audit.jsonl and the files that it
was rotated into; files that are named are checked in that order.

A log must begin with record 1. Where older files were taken away, give the anchor
that their check printed with --anchor SEQ:DIGEST (repeatable); the chain must begin
right behind one, and go through all others.

Records cut off at the end, an emptied log and one that was made anew show against
signed heads: they stand in the log, in FILE.heads beside it and, the last one, in the
keystore; are signed every 1,000 records, every 30 seconds and when the log is closed;
and a log that is shorter than its last head is refused, with the number of records
that are missing. Keep copies of the heads file away from this machine, or have the
server send the heads to another ('velonym serve --audit-heads-to'), and give them with
--heads: who can write all of these can cut all. The keystore's key must have signed
them; elsewhere give the public key with --key. What came after the last head, and a log
of a version that signed none, are vouched for by an anchor alone.

Time-stamps of heads ('velonym serve --audit-tsa') stand in FILE.timestamps. They are
verified, and the log must hold what was stamped; --tsa-ca says whose are trusted.

The keystore knows a log by machine and path; for a copy elsewhere give that name with
--log. A log that was begun anew at its place is refused until --begun-anew says that
the former one is accounted for.`,
		Example: `  velonym audit verify
  velonym audit verify --heads copy.heads --key ADADADADADADADADADADADADADADADADADADADADADA= audit.jsonl
  velonym audit verify --anchor 1042:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef`,
		RunE: func(cmd *cobra.Command, files []string) error { return f.verify(cmd, g, files) },
	}
	fl := verify.Flags()
	fl.Var(checkedList{&f.anchors, "SEQ:DIGEST", func(s string) error { _, err := parseAnchor(s); return err }}, "anchor", "what an earlier check printed (repeatable)")
	fl.Var(checkedList{&f.keys, "KEY", func(s string) error { _, err := parseHeadKey(s); return err }}, "key", "public key whose heads are trusted, in base64 (repeatable; default: the keystore's, if there is one)")
	checkedVar(fl, &f.heads, "heads", "", "FILE", "heads file to hold the log against (default: the one beside it)", notEmpty)
	checkedVar(fl, &f.log, "log", "", "NAME", "which of the logs that the keystore knows this is (default: by machine and path)", notEmpty)
	checkedVar(fl, &f.tsaCA, "tsa-ca", "", "FILE", "certificates (PEM) of the authorities whose time-stamps are trusted", notEmpty)
	fl.BoolVar(&f.anew, "begun-anew", false, "the log was begun anew, and the former one is accounted for: the keystore forgets its head")
	return verify
}

// checkedList is a repeatable flag that checks each value when it is set.
type checkedList struct {
	p     *[]string
	what  string
	check func(string) error
}

func (l checkedList) String() string { return "" }
func (l checkedList) Type() string   { return l.what }

func (l checkedList) Set(s string) error {
	if err := l.check(s); err != nil {
		return err
	}
	*l.p = append(*l.p, s)
	return nil
}

func (f *auditVerify) verify(cmd *cobra.Command, g *globals, files []string) error {
	t, err := f.trust()
	if err != nil {
		return err
	}
	path, err := g.inFolder("audit.jsonl")
	if err != nil {
		return err
	}
	if len(files) > 0 {
		path = logOf(files[len(files)-1])
	}
	known := storedHeads{}
	if len(t.Keys) == 0 {
		if known, err = g.storedHeads(cmd.Context(), path, f.log); err != nil {
			return err
		}
		t.Keys = known.keys
	} else if f.log != "" || f.anew {
		return usagef("audit verify: --log and --begun-anew ask the keystore, --key does without it: leave one away")
	}
	if len(files) == 0 {
		if files, err = audit.Files(path); err != nil {
			return errors.Join(known.gone(err), err)
		}
	}
	kept, err := f.readHeads(&t, files[len(files)-1])
	if err != nil {
		return err
	}
	if known.last != nil {
		t.Heads = append(t.Heads, headOf(*known.last))
		kept = true
	}
	stamps, err := f.readStamps(&t, files[len(files)-1])
	if err != nil {
		return err
	}
	r, err := audit.VerifyLog(t, files...)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s, the chain holds\n", counted(r.Records-r.Heads, "record"))
	if r.Torn > 0 || r.Lost > 0 {
		fmt.Fprintf(out, "%s torn by a crash and closed off, %s that could not be written\n", counted(int64(r.Torn), "line"), counted(r.Lost, "record"))
	}
	printHeads(out, r, kept, len(t.Keys) > 0)
	stamps.print(out, r)
	fmt.Fprintf(out, "anchor %d:%s\n", r.Seq, r.Head)
	return f.checkReplaced(cmd, g, known, t.Older)
}

// trust returns the anchors and keys of the flags.
func (f *auditVerify) trust() (t audit.Trust, err error) {
	for _, s := range f.anchors {
		a, err := parseAnchor(s)
		if err != nil {
			return t, usagef("--anchor: %w", err)
		}
		t.Anchors = append(t.Anchors, a)
	}
	for _, s := range f.keys {
		k, err := parseHeadKey(s)
		if err != nil {
			return t, usagef("--key: %w", err)
		}
		t.Keys = append(t.Keys, k)
	}
	return t, nil
}

// logOf returns the log that a file belongs to: itself, or the one it was rotated from.
func logOf(file string) string {
	if ext := filepath.Ext(file); len(ext) > 1 && strings.Trim(ext[1:], "0123456789") == "" {
		return strings.TrimSuffix(file, ext)
	}
	return file
}

// readHeads adds the heads file of the log whose last file is given, and reports whether
// it has heads.
func (f *auditVerify) readHeads(t *audit.Trust, last string) (kept bool, err error) {
	path := f.heads
	if path == "" {
		path = audit.HeadsPath(logOf(last))
		t.Older = logOf(last) != last
	} else if _, err := os.Stat(path); err != nil {
		return false, fmt.Errorf("--heads: %w", err)
	}
	t.Heads, _, err = audit.ReadHeads(path)
	return len(t.Heads) > 0, err
}

// counted returns a number with its noun, in the plural unless n is 1.
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(n, 10) + " " + noun + "s"
}

// printHeads writes what the signed heads prove about a log whose chain is unbroken, and
// what they do not.
func printHeads(out io.Writer, r audit.Report, kept, known bool) {
	switch {
	case r.Signed == 0:
		fmt.Fprintln(out, "no signed heads: whether records were cut off at the end, or all were made anew, cannot be known without an anchor")
		return
	case kept:
		fmt.Fprintf(out, "signed up to record %d, %s since\n", r.Signed, counted(int64(r.Seq-r.Signed), "record"))
	default:
		fmt.Fprintf(out, "signed up to record %d, %s since; neither a heads file nor a keystore that knows it: whether records were cut off at the end cannot be known\n", r.Signed, counted(int64(r.Seq-r.Signed), "record"))
	}
	for _, k := range r.Keys {
		fmt.Fprintf(out, "heads signed by the key %s", base64.StdEncoding.EncodeToString(k))
		if !known {
			fmt.Fprint(out, "; whose it is was not checked: give the one you trust with --key")
		}
		fmt.Fprintln(out)
	}
}

// parseHeadKey parses an Ed25519 public key in base64.
func parseHeadKey(s string) ([]byte, error) {
	k, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(k) != 32 || bytes.Equal(k, make([]byte, 32)) {
		return nil, errors.New("write the public key in base64, as 'velonym receipt key' prints it")
	}
	return k, nil
}

// parseAnchor parses an anchor as verify prints it.
func parseAnchor(s string) (a audit.Anchor, err error) {
	seq, head, ok := strings.Cut(s, ":")
	a.Seq, err = strconv.ParseUint(seq, 10, 64)
	if _, e := hex.DecodeString(head); err != nil || e != nil || !ok || len(head) != 64 {
		return a, errors.New("write SEQ:DIGEST as 'velonym audit verify' prints it")
	}
	a.Head = head
	return a, nil
}

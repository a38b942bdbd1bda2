package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
)

func newAudit(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Check the record of what was done",
		Example: `  velonym audit verify`,
		Args:    cobra.NoArgs,
		RunE:    needVerb,
	}
	cmd.AddCommand(newAuditVerify(g))
	return cmd
}

// auditVerify are the flags of `velonym audit verify`.
type auditVerify struct {
	anchors []string
	keys    []string
	heads   string
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
signed heads: they stand in the log and in FILE.heads beside it, are signed every
1,000 records, every 30 seconds and when the log is closed, and a log that is shorter
than its last head is refused, with the number of records that are missing. Keep
copies of the heads file away from this machine and give one with --heads: who can
write both files can cut both. The keystore's key must have signed them; elsewhere
give the public key with --key. What came after the last head, and a log of a version
that signed none, are vouched for by an anchor alone.`,
		Example: `  velonym audit verify
  velonym audit verify --heads copy.heads --key ADADADADADADADADADADADADADADADADADADADADADA= audit.jsonl
  velonym audit verify --anchor 1042:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef`,
		RunE: func(cmd *cobra.Command, files []string) error { return f.verify(cmd, g, files) },
	}
	fl := verify.Flags()
	fl.Var(checkedList{&f.anchors, "SEQ:DIGEST", func(s string) error { _, err := parseAnchor(s); return err }}, "anchor", "what an earlier check printed (repeatable)")
	fl.Var(checkedList{&f.keys, "KEY", func(s string) error { _, err := parseHeadKey(s); return err }}, "key", "public key whose heads are trusted, in base64 (repeatable; default: the keystore's, if there is one)")
	checkedVar(fl, &f.heads, "heads", "", "FILE", "heads file to hold the log against (default: the one beside it)", notEmpty)
	return verify
}

// checkedList is a repeatable flag whose values are judged when they are read.
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
	var t audit.Trust
	for _, s := range f.anchors {
		a, err := parseAnchor(s)
		if err != nil {
			return usagef("--anchor: %w", err)
		}
		t.Anchors = append(t.Anchors, a)
	}
	for _, s := range f.keys {
		k, err := parseHeadKey(s)
		if err != nil {
			return usagef("--key: %w", err)
		}
		t.Keys = append(t.Keys, k)
	}
	if len(files) == 0 {
		file, err := g.inFolder("audit.jsonl")
		if err != nil {
			return err
		}
		if files, err = audit.Files(file); err != nil {
			return err
		}
	}
	out := cmd.OutOrStdout()
	kept, err := f.readHeads(&t, files[len(files)-1])
	if err != nil {
		return err
	}
	own := len(t.Keys) == 0
	if own {
		if t.Keys, err = g.headKeys(cmd.Context()); err != nil {
			return err
		}
	}
	r, err := audit.VerifyLog(t, files...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d records, the chain holds\n", r.Records-r.Heads)
	if r.Torn > 0 || r.Lost > 0 {
		fmt.Fprintf(out, "%d lines torn by a crash and closed off, %d records that could not be written\n", r.Torn, r.Lost)
	}
	tellHeads(out, r, kept, len(t.Keys) > 0)
	_, err = fmt.Fprintf(out, "anchor %d:%s\n", r.Seq, r.Head)
	return err
}

// readHeads adds the heads file of a log whose last file is given, and says whether
// there is one.
func (f *auditVerify) readHeads(t *audit.Trust, last string) (kept bool, err error) {
	path := f.heads
	if path == "" {
		path = audit.HeadsPath(last)
		// A file that was rotated has the heads of the log that it belongs to.
		if ext := filepath.Ext(last); len(ext) > 1 && strings.Trim(ext[1:], "0123456789") == "" {
			path = audit.HeadsPath(strings.TrimSuffix(last, ext))
			t.Older = true
		}
	} else if _, err := os.Stat(path); err != nil {
		return false, fmt.Errorf("--heads: %w", err)
	}
	t.Heads, _, err = audit.ReadHeads(path)
	return len(t.Heads) > 0, err
}

// tellHeads says what signed heads show of a log whose chain holds, and what not.
func tellHeads(out io.Writer, r audit.Report, kept, known bool) {
	switch {
	case r.Signed == 0:
		fmt.Fprintln(out, "no signed heads: whether records were cut off at the end, or all were made anew, cannot be known without an anchor")
		return
	case kept:
		fmt.Fprintf(out, "signed up to record %d, %d records since\n", r.Signed, r.Seq-r.Signed)
	default:
		fmt.Fprintf(out, "signed up to record %d, %d records since; no heads file: whether records were cut off at the end cannot be known\n", r.Signed, r.Seq-r.Signed)
	}
	for _, k := range r.Keys {
		fmt.Fprintf(out, "heads signed by the key %s", base64.StdEncoding.EncodeToString(k))
		if !known {
			fmt.Fprint(out, "; whose it is was not checked: give the one you trust with --key")
		}
		fmt.Fprintln(out)
	}
}

// headKeys is the public key of the keystore, or nothing where there is no keystore.
func (g *globals) headKeys(ctx context.Context) ([][]byte, error) {
	place, _, err := g.locations()
	if err != nil {
		return nil, err
	}
	if !isPostgres(place) {
		if _, err := os.Lstat(place); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	ks, err := g.openKeystore(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w; to check without the keystore, give its public key with --key", err)
	}
	key, err := ks.ReceiptKey(ctx)
	return [][]byte{key}, errors.Join(err, ks.Close())
}

// parseHeadKey reads an Ed25519 public key in base64.
func parseHeadKey(s string) ([]byte, error) {
	k, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(k) != 32 || bytes.Equal(k, make([]byte, 32)) {
		return nil, errors.New("write the public key in base64, as 'velonym audit verify' prints it")
	}
	return k, nil
}

// parseAnchor reads what verify prints.
func parseAnchor(s string) (a audit.Anchor, err error) {
	seq, head, ok := strings.Cut(s, ":")
	a.Seq, err = strconv.ParseUint(seq, 10, 64)
	if _, e := hex.DecodeString(head); err != nil || e != nil || !ok || len(head) != 64 {
		return a, errors.New("write SEQ:DIGEST as 'velonym audit verify' prints it")
	}
	a.Head = head
	return a, nil
}

package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/keys"
)

func newReceipt(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "receipt",
		Short: "Check receipts of destroyed keys, and publish the key that signs them",
		Example: `  velonym receipt key > receipt-key.txt
  velonym receipt verify receipt.json --key JcVuy0lYhY9pmdUF0wE+0q0wB3LwWVhvxlWkyGN4IFo=`,
		Args: cobra.NoArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(newReceiptVerify(g), newReceiptKey(g))
	return cmd
}

func newReceiptKey(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "key",
		Short: "The public key that signs receipts, heads of audit logs, tombstones and backups",
		Long: `Prints the keystore's public Ed25519 key in base64. Publish it, on paper or on a page that
others keep, before there is a receipt: a receipt shows that the key was the keystore's
only to who had it before. It stays the same for the keystore's life, also when the
master key or the issuer's key change.`,
		Example: `  velonym receipt key`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			key, err := ks.ReceiptKey(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), keyText(key))
			return err
		},
	}
}

func newReceiptVerify(g *globals) *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check a receipt without the keystore, and say what it proves",
		Long: `Checks a receipt's signature (- is standard input), and says in words what it states. With
--key, the public key as 'velonym receipt key' printed it, neither keystore nor network
is needed. Without it the keystore's own key is taken; where there is no keystore, it
shows only that the receipt was not changed since whoever holds the key in it signed it,
and the exit status is 1.`,
		Example: `  velonym receipt verify receipt.json --key P6o0zM2l5o1bCfwTLXqZ6mYq2sD7u0yqB0mCkYkXo3U=
  velonym project sever register --yes | velonym receipt verify -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := readReceipt(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			r, err := keys.ParseReceipt(doc)
			if err != nil {
				return err
			}
			trusted, err := g.receiptTrust(cmd, key)
			if err != nil {
				return err
			}
			if err := keys.VerifyReceipt(r, trusted); err != nil {
				return err
			}
			if err := printReceipt(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			if trusted == nil {
				return errors.New("receipt verify: the signature fits, but whose key it is was not checked: give the one that you trust with --key")
			}
			return nil
		},
	}
	checkedVar(cmd.Flags(), &key, "key", "", "KEY", "public key in base64 (default: the keystore's, if there is one)", func(s string) error { _, err := parseHeadKey(s); return err })
	return cmd
}

// maxReceipt is the largest receipt that is read.
const maxReceipt = 16 << 20

func readReceipt(path string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("receipt verify: %w", err)
		}
		defer f.Close()
		in = f
	}
	doc, err := io.ReadAll(io.LimitReader(in, maxReceipt))
	if err != nil {
		return nil, fmt.Errorf("receipt verify: %w", err)
	}
	return doc, nil
}

// receiptTrust returns the key given, or else the keystore's; nil without a keystore.
func (g *globals) receiptTrust(cmd *cobra.Command, key string) (ed25519.PublicKey, error) {
	if key != "" {
		return parseHeadKey(key)
	}
	place, _, err := g.locations()
	if err != nil {
		return nil, err
	}
	if !isPostgres(place) {
		if _, err := os.Lstat(place); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	ks, err := g.openKeystore(cmd.Context())
	if err != nil {
		return nil, fmt.Errorf("%w; to check without the keystore, give its public key with --key", err)
	}
	defer ks.Close()
	return ks.ReceiptKey(cmd.Context())
}

// printReceipt writes the statements of a receipt in words.
func printReceipt(w io.Writer, r keys.Receipt) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("the signature fits")
	line("project      %s", printable(r.Project))
	why := map[string]string{keys.ReasonSevered: "by order", keys.ReasonRetention: "the retention ended", keys.ReasonGeneration: "by order, these generations alone"}[r.Reason]
	if why == "" {
		why = printable(r.Reason)
	}
	line("reason       %s", why)
	clock := map[string]string{keys.ClockKeystore: "the keystore's clock", keys.ClockDatabase: "the database server's clock"}[r.Clock]
	if clock == "" {
		clock = "the clock of the machine"
	}
	line("destroyed    %s by %s", r.Destroyed.UTC().Format(time.RFC3339), clock)
	if r.Retention != nil {
		line("retention    %s", r.Retention.UTC().Format(time.RFC3339))
	}
	if r.Ended != nil {
		line("ended        %s, and destroyed after a grace of %s", r.Ended.UTC().Format(time.RFC3339), spanText(time.Duration(r.GraceSeconds)*time.Second))
	}
	for _, o := range r.Orgs {
		for _, gen := range o.Generations {
			text := fmt.Sprintf("generation   %d, made %s", gen.Gen, gen.Created.UTC().Format(time.RFC3339))
			if o.Org != "" {
				text += ", organisation " + printable(o.Org)
			}
			if gen.Fingerprint != "" {
				text += ", fingerprint " + printable(gen.Fingerprint)
			}
			if gen.Imported {
				text += ", imported: copies may exist where it came from"
			}
			line("%s", text)
		}
	}
	if r.MasterKey != "" {
		line("master key   fingerprint %s", printable(r.MasterKey))
	}
	for _, copied := range r.Backups {
		line("backup left  %s of %s: with the master key it still yields these secrets", printable(copied.Place), copied.Made.UTC().Format(time.RFC3339))
	}
	switch {
	case r.V < 2:
		line("backups      not stated by receipts of this version")
	case len(r.Backups) == 0:
		line("backups      none known to be left")
	}
	line("signed by    %s", keyText(r.PublicKey))
	_, err := io.WriteString(w, b.String())
	return err
}

// keyText returns a public key in base64.
func keyText(k ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(k) }

// warnAboutBackups names the known backups that still hold the secrets of a receipt.
func warnAboutBackups(w io.Writer, r keys.Receipt) {
	for _, b := range r.Backups {
		fmt.Fprintf(w, "velonym: warning: the backup %s of %s still holds the wrapped secrets: 'velonym backup prune' deletes old ones\n", printable(b.Place), localTime(b.Made))
	}
}

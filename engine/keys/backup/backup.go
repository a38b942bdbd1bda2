package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/internal/newfile"
)

// Options of a backup.
type Options struct {
	Recipients []age.Recipient // to whom the file is encrypted; none: it is not
	Program    string          // version of the program
}

// Write copies a keystore that may be in use to a new file. The copy is one consistent
// snapshot. The file gets its name only after it is complete and on disk.
func Write(ctx context.Context, ks *keys.Keystore, path string, opt Options) (h Header, err error) {
	c, err := ks.Clock(ctx)
	if err != nil {
		return h, err
	}
	now, err := c.Time()
	if err != nil {
		return h, err
	}
	f, err := newfile.Create(path)
	if err != nil {
		return h, fmt.Errorf("backup: %w", err)
	}
	defer f.Discard()
	buffered := bufio.NewWriterSize(f, 256<<10)
	out := &digestWriter{w: buffered, sum: sha256.New()}
	h = Header{Made: now.UTC().Truncate(time.Microsecond), Database: !c.Store.IsZero(), Sealed: len(opt.Recipients) > 0, Program: opt.Program, Schema: keys.SchemaVersion}
	if h.Store, err = ks.ReceiptKey(ctx); err != nil {
		return h, err
	}
	err = ks.Rows(ctx, func(tx keys.Tx) error {
		if h.Change, err = tx.Change(); err != nil {
			return err
		}
		head, err := json.Marshal(h)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s%s\n", magic, head); err != nil {
			return err
		}
		return writeBody(out, opt.Recipients, tx)
	})
	if err != nil {
		return h, fmt.Errorf("backup: writing %s: %w", path, err)
	}
	if _, err := out.Write([]byte{'\n'}); err != nil {
		return h, fmt.Errorf("backup: writing %s: %w", path, err)
	}
	t := trailer{Bytes: out.n, SHA256: hex.EncodeToString(out.sum.Sum(nil))}
	if t.Signature, _, err = ks.Sign(ctx, signedText(t.SHA256)); err != nil {
		return h, err
	}
	end, err := json.Marshal(t)
	if err == nil {
		_, err = buffered.Write(append(end, '\n'))
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return h, fmt.Errorf("backup: writing %s: %w", path, err)
	}
	if err := f.Commit(); err != nil {
		return h, fmt.Errorf("backup: %w", err)
	}
	return h, nil
}

// writeBody writes the rows, compressed and, if there are recipients, encrypted.
func writeBody(w io.Writer, recipients []age.Recipient, tx keys.Tx) (err error) {
	var sealed io.WriteCloser
	if len(recipients) > 0 {
		if sealed, err = age.Encrypt(w, recipients...); err != nil {
			return err
		}
		w = sealed
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if _, err := writeRows(z, tx); err != nil {
		z.Close()
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if sealed != nil {
		return sealed.Close()
	}
	return nil
}

// rows calls each for every row of the body.
func (b *file) rows(path string, identities []age.Identity, each func(row) error) error {
	body := b.body
	if b.Sealed {
		if len(identities) == 0 {
			return fmt.Errorf("backup: %s is sealed: give the age identity that it is sealed to", path)
		}
		var err error
		if body, err = age.Decrypt(body, identities...); err != nil {
			return fmt.Errorf("backup: %s: %w", path, err)
		}
	}
	z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer z.Close()
	return readRows(path, z, each)
}

// Report summarises a backup.
type Report struct {
	Header
	Read                           bool // the body was read: it is not sealed, or an identity was given
	Projects, Severed, Generations int
	Revocations, Tokens            int
}

// Verify checks a file without the keystore's keys: its length, checksum and signature,
// and all rows, unless they are sealed and no identity is given. The caller must compare
// Report.Store, the key that signed it, with the one it trusts. Errors: ErrDamaged.
func Verify(path string, identities []age.Identity) (r Report, err error) {
	b, err := openFile(path)
	if err != nil {
		return r, err
	}
	defer b.f.Close()
	r.Header = b.Header
	if b.Sealed && len(identities) == 0 {
		return r, nil
	}
	r.Read = true
	return r, b.rows(path, identities, func(x row) error {
		switch x.Kind {
		case kindProject:
			r.Projects++
			if x.Project != nil && x.Project.Severed {
				r.Severed++
			}
		case kindGeneration:
			if x.Generation != nil && x.Generation.Wrapped != nil {
				r.Generations++
				clear(x.Generation.Wrapped)
			}
		case kindRevocation:
			r.Revocations++
		case kindIssued:
			r.Tokens++
		}
		return nil
	})
}

// Restore fills an empty store from a backup, without what the tombstones say was
// destroyed, revoked or spent since. See [keys.Restore].
func Restore(ctx context.Context, store keys.Store, mk *keys.MasterKey, path string, identities []age.Identity, t keys.Tombstones) (h Header, m keys.Merged, err error) {
	b, err := openFile(path)
	if err != nil {
		return h, m, err
	}
	defer b.f.Close()
	h = b.Header
	if h.Schema > keys.SchemaVersion {
		return h, m, fmt.Errorf("%w: backup %s is of a newer version of velonym (schema %d, this one reads %d): use that version", keys.ErrSchema, path, h.Schema, keys.SchemaVersion)
	}
	m, err = keys.Restore(ctx, store, mk, h.Store, t, func(tx keys.Tx, dead func(keys.KeyRow) bool) (uint64, error) {
		return h.Change, b.rows(path, identities, func(x row) error { return addRow(path, tx, x, h.Change, dead) })
	})
	return h, m, err
}

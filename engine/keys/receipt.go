package keys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"time"
)

// Reasons for the destruction of secrets.
const (
	ReasonSevered    = "severed"    // Sever was called, or a scheduled severing came due
	ReasonRetention  = "retention"  // the retention ended
	ReasonGeneration = "generation" // one generation was destroyed; the project continues
)

// Receipt states what was destroyed and when, signed by the keystore's receipt key. The
// keystore stores it, and hands it out, in its JSON form.
//
// The signature is Ed25519 (RFC 8032) over the text "velonym destruction
// receipt 1", a line feed, and the compact JSON form of the receipt with the
// member "signature" left out, members in the order below, as encoding/json
// writes it with HTML escaping off.
type Receipt struct {
	V            int          `json:"v"` // 2; 1 for receipts without Clock and Backups
	Project      string       `json:"project"`
	Orgs         []ReceiptOrg `json:"orgs"`
	Reason       string       `json:"reason"`                  // ReasonSevered, ReasonRetention or ReasonGeneration
	Retention    *time.Time   `json:"retention,omitempty"`     // when it ended or would have ended
	Ended        *time.Time   `json:"ended,omitempty"`         // when a sweep noted its end, if it did
	GraceSeconds int64        `json:"grace_seconds,omitempty"` // grace after Ended
	Destroyed    time.Time    `json:"destroyed"`
	MasterKey    string       `json:"master_key,omitempty"` // fingerprint
	Clock        string       `json:"clock,omitempty"`      // clock of Destroyed: ClockDatabase or ClockKeystore
	Imported     bool         `json:"imported"`             // a secret was imported: copies may exist elsewhere
	// Backups are the known copies of the keystore that still hold the wrapped secrets:
	// whoever has one of them, and the master key, has the secrets.
	Backups   []KnownBackup `json:"backups,omitempty"`
	PublicKey []byte        `json:"public_key"` // Ed25519, base64 in JSON
	Signature []byte        `json:"signature,omitempty"`
}

// ReceiptOrg is one key domain of a destroyed project.
type ReceiptOrg struct {
	Org         string              `json:"org"`
	Generations []ReceiptGeneration `json:"generations"`
}

// ReceiptGeneration is one destroyed generation.
type ReceiptGeneration struct {
	Gen         int       `json:"gen"`
	Created     time.Time `json:"created"`
	Imported    bool      `json:"imported"`
	Fingerprint string    `json:"fingerprint,omitempty"` // fingerprint of its secret
}

// Clocks that a receipt can name.
const (
	ClockKeystore = "keystore" // this machine's clock, within the bounds of [Clock]
	ClockDatabase = "database" // the PostgreSQL server's clock
)

// receiptClock returns the clock by which secrets are destroyed.
func (ks *Keystore) receiptClock(tx Tx) (string, error) {
	c, err := ks.readClock(tx)
	if c.Store.IsZero() {
		return ClockKeystore, err
	}
	return ClockDatabase, err
}

const receiptContext = "velonym destruction receipt 1\n"

// encode returns the JSON form without HTML escapes and without a line end.
func (r Receipt) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// message returns the signed text.
func (r Receipt) message() ([]byte, error) {
	r.Signature = nil
	b, err := r.encode()
	if err != nil {
		return nil, err
	}
	return append([]byte(receiptContext), b...), nil
}

// sign fills in the public key and the signature.
func (r *Receipt) sign(key *signingKey) error {
	r.PublicKey = append([]byte(nil), key.public...)
	msg, err := r.message()
	if err != nil {
		return err
	}
	r.Signature = key.sign(msg)
	return nil
}

// ParseReceipt parses the JSON form of a receipt without verifying the signature. It
// refuses unknown members, which the signature would not cover.
func ParseReceipt(doc []byte) (Receipt, error) {
	var r Receipt
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Receipt{}, fmt.Errorf("%w: not the JSON form of a receipt", ErrReceipt)
	}
	if d.More() {
		return Receipt{}, fmt.Errorf("%w: something follows the receipt", ErrReceipt)
	}
	return r, nil
}

// VerifyReceipt verifies a receipt by the public key that the reader trusts, as
// [Keystore.ReceiptKey] returns it. With a nil key it verifies the signature by the key
// in the receipt itself: that shows only that nobody changed the receipt after the
// holder of that key signed it. The error is ErrReceipt.
func VerifyReceipt(r Receipt, trusted ed25519.PublicKey) error {
	if r.V != 1 && r.V != 2 {
		return fmt.Errorf("%w: version %d is unknown here", ErrReceipt, r.V)
	}
	if len(r.PublicKey) != ed25519.PublicKeySize || len(r.Signature) != ed25519.SignatureSize {
		return fmt.Errorf("%w: public key or signature has a wrong length", ErrReceipt)
	}
	if trusted != nil && subtle.ConstantTimeCompare(r.PublicKey, trusted) != 1 {
		return fmt.Errorf("%w: signed by another keystore than the one trusted", ErrReceipt)
	}
	msg, err := r.message()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	if !ed25519.Verify(ed25519.PublicKey(r.PublicKey), msg, r.Signature) {
		return fmt.Errorf("%w: the signature does not fit the content", ErrReceipt)
	}
	return nil
}

// Receipts returns the destruction receipts of a project, or of all projects
// for "", oldest first.
func (ks *Keystore) Receipts(ctx context.Context, name string) ([]Receipt, error) {
	if checkName("project name", name) != nil {
		return nil, nil
	}
	var out []Receipt
	err := ks.store.View(ctx, func(tx Tx) error {
		docs, err := tx.Receipts(name)
		if err != nil {
			return err
		}
		for _, d := range docs {
			r, err := ParseReceipt(d)
			if err != nil {
				return fmt.Errorf("%w: a stored receipt cannot be read", ErrCorrupt)
			}
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// ReceiptKey returns the public key that verifies this keystore's receipts.
func (ks *Keystore) ReceiptKey(ctx context.Context) (ed25519.PublicKey, error) {
	key, err := ks.receiptKey(ctx)
	if err != nil {
		return nil, err
	}
	defer key.close()
	return key.public, nil
}

// receiptKey unwraps the key that signs receipts and heads. The caller closes it.
func (ks *Keystore) receiptKey(ctx context.Context) (key *signingKey, err error) {
	err = ks.store.View(ctx, func(tx Tx) (err error) {
		key, err = ks.receiptKeyOf(tx)
		return err
	})
	return key, err
}

func (ks *Keystore) receiptKeyOf(tx Tx) (*signingKey, error) {
	seed, err := ks.seed(tx, metaReceipt, purposeReceipt)
	if err != nil {
		return nil, err
	}
	return newSigningKey(seed)
}

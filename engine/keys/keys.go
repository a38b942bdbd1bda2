// Package keys holds the secrets that pseudonyms are made with: projects, one
// key domain for each of a project's organisations, up to twelve generations
// of 32 secret bytes in a domain, their retention and their destruction.
//
// A [Keystore] joins a [Store], which keeps rows and knows no key, with a
// [MasterKey], which wraps every secret by AES-256-GCM before a store sees it.
// The stores are in the packages sqlite and postgres below this one, linked
// only if imported.
//
// # Life of a secret
//
// A generation is active from its making until the next one is made, then
// deactivated: it reverses and makes nothing new. When the project's retention
// ends, or the project is severed, the wrapped secrets of all its generations
// are overwritten and deleted, and the store rewrites its files so that no old
// page keeps them. What remains is a signed [Receipt]. Copies that were taken
// of the store before (backups, replicas, the write-ahead archive of a
// PostgreSQL server) are beyond this package's reach: let them expire with the
// retention.
package keys

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxGenerations is how many generations a domain can have in its life. They
// are numbered from 0, and no number is used twice.
const MaxGenerations = 12

// SecretSize is the length in bytes of the secret of a generation.
const SecretSize = 32

// Domain names a key domain: a project and one of its organisations, which is
// "" for a project without any.
type Domain struct{ Prj, Org string }

// State is where a generation stands in its life.
type State string

// The states of a generation, in the order in which it passes through them.
const (
	Active      State = "active"      // makes pseudonyms and reverses them
	Deactivated State = "deactivated" // reverses only
	Destroyed   State = "destroyed"   // the secret is gone
)

// Generation is one generation of a domain's secret.
type Generation struct {
	Gen       int
	State     State
	Imported  bool             // the secret came from outside
	Created   time.Time        // UTC
	Destroyed time.Time        // zero while the secret lives
	Secret    [SecretSize]byte // zero in listings and when destroyed
}

// Project is what is kept of a project besides its secrets.
type Project struct {
	Name   string   // 1 to 255 bytes of UTF-8 without control characters
	Method string   // "reversible" or "irreversible"
	Policy string   // "same", "different" or "document"
	Format string   // as the token's psn.fmt
	Tag    int      // 0, 64 or 128
	Orgs   []string // in the order given; "" alone when none was

	// Retention is when the secrets are destroyed, in whole seconds, UTC.
	// A reversible project must have one; zero means none.
	Retention time.Time

	Imported  bool      // the first secrets came from outside
	Severed   bool      // the secrets are destroyed, by Sever or by the end of retention
	SeveredAt time.Time // zero unless Severed
	Created   time.Time
}

const maxName = 255

// normalise checks the shape of a new project and brings it to the form that
// is stored. Which formats exist and which combinations make sense is for the
// caller to check, who knows the transform suite.
func (p *Project) normalise(now time.Time) error {
	if p.Name == "" {
		return fmt.Errorf("%w: a project needs a name", ErrInvalid)
	}
	if err := checkName("project name", p.Name); err != nil {
		return err
	}
	switch p.Method {
	case "reversible", "irreversible":
	default:
		return fmt.Errorf("%w: method must be reversible or irreversible", ErrInvalid)
	}
	switch p.Policy {
	case "same", "different", "document":
	default:
		return fmt.Errorf("%w: policy must be same, different or document", ErrInvalid)
	}
	switch p.Tag {
	case 0, 64, 128:
	default:
		return fmt.Errorf("%w: tag must be 0, 64 or 128", ErrInvalid)
	}
	if p.Format == "" || len(p.Format) > 128 {
		return fmt.Errorf("%w: format must be 1 to 128 bytes long", ErrInvalid)
	}
	for i := 0; i < len(p.Format); i++ {
		if p.Format[i] < 0x20 || p.Format[i] > 0x7e {
			return fmt.Errorf("%w: format must be printable ASCII", ErrInvalid)
		}
	}
	if len(p.Orgs) == 0 {
		p.Orgs = []string{""}
	}
	seen := make(map[string]bool, len(p.Orgs))
	for _, org := range p.Orgs {
		if err := checkName("organisation name", org); err != nil {
			return err
		}
		if seen[org] {
			return fmt.Errorf("%w: an organisation is named twice", ErrInvalid)
		}
		seen[org] = true
	}
	if p.Retention.IsZero() {
		if p.Method == "reversible" {
			return fmt.Errorf("%w: a reversible project needs a retention: say when its secrets are to be destroyed", ErrInvalid)
		}
	} else {
		p.Retention = wholeSeconds(p.Retention)
		if !p.Retention.After(now) {
			return fmt.Errorf("%w: the retention is already over", ErrInvalid)
		}
		if p.Retention.Year() > 9999 {
			return fmt.Errorf("%w: the retention ends after the year 9999", ErrInvalid)
		}
	}
	p.Created = stamp(now)
	p.Severed = false
	p.SeveredAt = time.Time{}
	return nil
}

func checkName(what, s string) error {
	if len(s) > maxName {
		return fmt.Errorf("%w: %s is longer than %d bytes", ErrInvalid, what, maxName)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: %s is not valid UTF-8", ErrInvalid, what)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: %s holds a control character", ErrInvalid, what)
		}
	}
	return nil
}

func (p *Project) hasOrg(org string) bool {
	for _, o := range p.Orgs {
		if o == org {
			return true
		}
	}
	return false
}

// wholeSeconds rounds down, so that a project never outlives what its tokens
// can say of it: psn.ret counts seconds.
func wholeSeconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// stamp is the precision that every store keeps.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

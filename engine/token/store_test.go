package token

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/suite"
)

// epoch0 is the time at which the tests take place.
var epoch0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that stands still until it is moved.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(epoch0.UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.ns.Add(int64(d)) }

// memory is a keystore in memory, with the answers of *keys.Keystore, that can
// be made to fail and counts what it is asked.
type memory struct {
	now func() time.Time

	mu       sync.Mutex
	projects map[string]keys.Project
	gens     map[keys.Domain][]keys.Generation
	revoked  map[string]struct{}
	spent    map[string]int64
	change   uint64
	broken   error
	hang     bool // Change does not answer
	frozen   bool // LeaseUntil does not
	reads    int  // calls of Project and ProjectSecrets
	leases   int
}

var errBroken = errors.New("disk on fire")

func newMemory(now func() time.Time) *memory {
	m := &memory{now: now, projects: map[string]keys.Project{}, gens: map[keys.Domain][]keys.Generation{},
		revoked: map[string]struct{}{}, spent: map[string]int64{}}
	year := epoch0.AddDate(1, 0, 0)
	for _, p := range []keys.Project{
		{Name: "study", Method: "reversible", Policy: "same", Form: "pair62", Orgs: []string{"clinic", "lab"}, Retention: year},
		{Name: "tagged", Method: "reversible", Policy: "same", Form: "hex", Tag: 128, Orgs: []string{""}, Retention: year},
		{Name: "random", Method: "reversible", Policy: "different", Form: "pair62", Orgs: []string{""}, Retention: year},
		{Name: "oneway", Method: "irreversible", Policy: "same", Form: "uuid", Orgs: []string{""}},
		{Name: "brief", Method: "reversible", Policy: "same", Form: "pair62", Orgs: []string{""}, Retention: epoch0.Add(time.Hour)},
	} {
		m.add(p)
	}
	return m
}

func (m *memory) add(p keys.Project) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.projects[p.Name] = p
	for i, org := range p.Orgs {
		g := keys.Generation{State: keys.Active}
		for j := range g.Secret {
			g.Secret[j] = byte(i+j) ^ p.Name[j%len(p.Name)]
		}
		m.gens[keys.Domain{Prj: p.Name, Org: org}] = []keys.Generation{g}
	}
	m.change++
}

func (m *memory) alter(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	m.change++
}

func (m *memory) breakDown(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}

func (m *memory) Project(_ context.Context, name string) (keys.Project, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	p, ok := m.projects[name]
	if m.broken != nil {
		return p, m.broken
	}
	if !ok {
		return p, keys.ErrNotFound
	}
	return p, nil
}

func (m *memory) ProjectSecrets(_ context.Context, d keys.Domain) (keys.Project, []keys.Generation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	p, ok := m.projects[d.Prj]
	switch {
	case m.broken != nil:
		return keys.Project{}, nil, m.broken
	case !ok:
		return keys.Project{}, nil, keys.ErrNotFound
	case p.Severed:
		return p, nil, keys.ErrSevered
	case !p.Retention.IsZero() && !m.now().Before(p.Retention):
		return p, nil, keys.ErrRetentionOver
	}
	return p, append([]keys.Generation(nil), m.gens[d]...), nil
}

func (m *memory) Change(ctx context.Context) (uint64, error) {
	m.mu.Lock()
	if m.hang {
		m.mu.Unlock()
		<-ctx.Done()
		return 0, ctx.Err()
	}
	defer m.mu.Unlock()
	return m.change, m.broken
}

func (m *memory) RevokedAt(context.Context, uint64, *keys.Revoked) (*keys.Revoked, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return keys.RevokedTokens(slices.Collect(maps.Keys(m.revoked))...), m.broken
}

func (m *memory) LeaseUntil(ctx context.Context, jti string, _ time.Time, max, want int64) (granted, rest int64, err error) {
	m.mu.Lock()
	m.leases++
	if m.frozen {
		m.mu.Unlock()
		<-ctx.Done()
		return 0, 0, ctx.Err()
	}
	defer m.mu.Unlock()
	if m.broken != nil {
		return 0, 0, m.broken
	}
	granted = min(want, max-m.spent[jti])
	if granted < 0 {
		granted = 0
	}
	m.spent[jti] += granted
	return granted, max - m.spent[jti], nil
}

func (m *memory) Return(_ context.Context, jti string, _ time.Time, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	m.spent[jti] -= n
	return nil
}

func (m *memory) Spent(_ context.Context, jti string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.spent[jti], m.broken
}

// seed is the private key of the built-in issuer in the tests.
var seed = []byte("an Ed25519 seed of thirty-two by")

// b64 is the base64url of JOSE.
func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// compact makes a token of a header and claims as they are written, signed with
// Ed25519 as RFC 8037 says, by nothing but the standard library.
func compact(header, claims string) string {
	input := b64([]byte(header)) + "." + b64([]byte(claims))
	return input + "." + b64(ed25519.Sign(ed25519.NewKeyFromSeed(seed), []byte(input)))
}

const goodHeader = `{"alg":"EdDSA","typ":"psn+jwt"}`

// object is a JSON object to be changed by a test.
type object map[string]any

// goodClaims are claims of a valid token for the project study.
func goodClaims() object {
	return object{
		"iss": "velonym", "aud": "velonym", "jti": "0123456789abcdef0123456789abcdef",
		"iat": epoch0.Unix(), "exp": epoch0.Add(time.Hour).Unix(),
		"psn": object{
			"v": 1, "op": "pseudonymise", "dom": object{"prj": "study", "org": "clinic"},
			"method": "reversible", "ret": epoch0.Add(24 * time.Hour).Unix(),
		},
	}
}

func (o object) psn() object { return o["psn"].(object) }

func (o object) String() string {
	b, err := json.Marshal(map[string]any(o))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// rig is a verifier with its surroundings.
type rig struct {
	*Verifier
	store  *memory
	clock  *clock
	issuer *Issuer
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{clock: newClock()}
	r.store = newMemory(r.clock.Now)
	var err error
	if r.issuer, err = NewIssuer(seed, "velonym", "velonym"); err != nil {
		t.Fatal(err)
	}
	c := Config{Keystore: r.store, Issuer: r.issuer, Now: r.clock.Now}
	for _, f := range change {
		f(&c)
	}
	if r.Verifier, err = NewVerifier(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// code returns the code of a refusal, "" for none, and the text of other errors.
func code(err error) string {
	var refused *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refused):
		return refused.Code
	}
	return err.Error()
}

// try verifies a token and lets the grant go.
func (r *rig) try(raw string, ops Ops) error {
	g, err := r.Verify(context.Background(), []byte(raw), ops)
	if err != nil {
		return err
	}
	g.Release()
	return nil
}

// settle waits until what was verified is in the cache.
func (r *rig) settle() { r.cache.Wait() }

// forward transforms one value with a plan.
func forward(p *suite.Plan, value string) string {
	b := suite.Batch{Src: []byte(value), Spans: []uint32{0, uint32(len(value))}}
	p.Transform(&b)
	if len(b.Bad) > 0 {
		return b.Bad[0].Code.String()
	}
	return string(b.Dst[b.Out[0]:][:b.Out[1]])
}

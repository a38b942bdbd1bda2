package token

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// domainKeys are the working keys of a domain, shared by its grants.
type domainKeys struct {
	domain keys.Domain
	keys   *suite.Keys
	active int      // number of the active generation; -1: none
	usable [12]bool // generations that have a secret
	epoch  uint64   // of the store's state that the keys were read at
	users  int      // guarded by keyring.mu
}

// allows refuses a generation that does not exist, or that op may not use.
func (k *domainKeys) allows(gen *int, op spec.Op) *Error {
	switch {
	case gen == nil && k.active < 0 && op != spec.Reverse:
		return refuse(RetentionExpired, noActive)
	case gen == nil:
		return nil
	case !k.usable[*gen]:
		return refuse(UnknownDomain, noGeneration)
	case op != spec.Reverse && *gen != k.active:
		return refuse(ForbiddenOperation, "a generation that is no longer active makes no new pseudonyms")
	}
	return nil
}

// keyring finds the working keys of domains in use. A domain's last grant wipes them.
type keyring struct {
	mu sync.Mutex
	m  map[keys.Domain]*domainKeys
}

// acquire returns the keys of a domain, read at epoch or later, and adds a user. It uses
// the secrets of found, which were read for the same domain and epoch, if there are any.
func (r *keyring) acquire(ctx context.Context, ks Keystore, d keys.Domain, epoch uint64, found *foundProject) (*domainKeys, error) {
	if k := r.find(d, epoch); k != nil {
		return k, nil
	}
	gens, err := found.secrets, found.err
	if !found.both {
		_, gens, err = ks.ProjectSecrets(ctx, d)
	}
	switch {
	case errors.Is(err, keys.ErrNotFound):
		return nil, refuse(UnknownDomain, noDomain)
	case errors.Is(err, keys.ErrSevered), errors.Is(err, keys.ErrRetentionOver):
		return nil, refuse(RetentionExpired, retentionOver)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case len(gens) == 0:
		return nil, refuse(RetentionExpired, "the key domain has no living generation")
	}
	k := &domainKeys{domain: d, active: -1, epoch: epoch, users: 1}
	secrets := make([]suite.Secret, len(gens))
	for i := range gens {
		active := string(gens[i].State) == "active"
		// Field by field: a composite literal would leave a copy of the secret on
		// the stack.
		secrets[i].Gen, secrets[i].Active = gens[i].Gen, active
		copy(secrets[i].S[:], gens[i].Secret[:])
		if g := gens[i].Gen; g >= 0 && g < len(k.usable) {
			k.usable[g] = true
			if active {
				k.active = g
			}
		}
		clear(gens[i].Secret[:])
	}
	k.keys, err = suite.NewKeys(d.Prj, d.Org, secrets)
	for i := range secrets {
		clear(secrets[i].S[:])
	}
	if err != nil {
		return nil, fmt.Errorf("token: working keys: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.m[d]; other != nil && other.epoch >= epoch { // another call was faster
		other.users++
		k.keys.Release()
		return other, nil
	}
	r.m[d] = k
	return k, nil
}

func (r *keyring) find(d keys.Domain, epoch uint64) *domainKeys {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.m[d]
	if k == nil || k.epoch < epoch {
		return nil
	}
	k.users++
	return k
}

func (r *keyring) release(k *domainKeys) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k.users--
	if k.users > 0 {
		return
	}
	if r.m[k.domain] == k {
		delete(r.m, k.domain)
	}
	k.keys.Release()
}

// projects caches stored projects until the store changes, so that a new token of a
// known project needs no read.
type projects struct {
	mu    sync.Mutex
	epoch uint64
	m     map[string]keys.Project
}

const maxProjects = 4096

// project returns a stored project, read at epoch or later.
func (v *Verifier) project(ctx context.Context, name string, epoch uint64) (keys.Project, error) {
	if p, ok := v.projects.find(name, epoch); ok {
		return p, nil
	}
	p, err := v.ks.Project(ctx, name)
	if err == nil {
		v.projects.keep(p, epoch)
	}
	return p, err
}

// foundProject is a project with the secrets of one of its domains, if both were read.
type foundProject struct {
	keys.Project
	both    bool
	secrets []keys.Generation
	err     error // why there are no secrets
}

// projectAndSecrets is project that reads the secrets of a domain as well if it has to
// read: one read costs little more than that of the project. The caller wipes the secrets.
func (v *Verifier) projectAndSecrets(ctx context.Context, d keys.Domain, epoch uint64) (found foundProject, err error) {
	if p, ok := v.projects.find(d.Prj, epoch); ok {
		found.Project = p
		return found, nil
	}
	p, secrets, err := v.ks.ProjectSecrets(ctx, d)
	if err != nil && p.Name == "" {
		return found, err
	}
	v.projects.keep(p, epoch)
	return foundProject{Project: p, both: true, secrets: secrets, err: err}, nil
}

func (c *projects) find(name string, epoch uint64) (keys.Project, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.m[name]
	return p, ok && c.epoch >= epoch
}

// keep caches a project that was read at epoch.
func (c *projects) keep(p keys.Project, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch < epoch || c.m == nil {
		c.epoch, c.m = epoch, map[string]keys.Project{}
	}
	// A project read at an older epoch may be outdated.
	if c.epoch == epoch && len(c.m) < maxProjects {
		c.m[p.Name] = p
	}
}

package server

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/velonym/velonym/engine/keys"
)

// TestMasterKeyChanged changes the keystore's master key while the server runs. Readiness
// and metrics must report it, and name the key that the server has.
func TestMasterKeyChanged(t *testing.T) {
	t.Parallel()
	var store changedKey
	r := newRig(t, func(c *Config) {
		store.Keystore = c.Keystore.(*keys.Keystore)
		c.Keystore = &store
	})
	if a := r.send("GET", "/metrics", nil); !strings.Contains(string(a.body), `velonym_master_key_info{fingerprint="`+r.ks.MasterKeyFingerprint()+`"`) ||
		!strings.Contains(string(a.body), "velonym_keystore_master_key_wrong 0\n") {
		t.Errorf("the metrics do not contain the key's fingerprint: %.300s", a.body)
	}
	store.changed.Store(true)
	r.srv.probe(context.Background())
	if a := r.send("GET", "/readyz", nil); a.status != 503 || !strings.Contains(string(a.body), "KEYSTORE_MASTER_KEY") {
		t.Errorf("readyz: %d %s, want 503 KEYSTORE_MASTER_KEY", a.status, a.body)
	}
	if a := r.send("GET", "/metrics", nil); !strings.Contains(string(a.body), "velonym_keystore_master_key_wrong 1\n") {
		t.Error("velonym_keystore_master_key_wrong is not 1")
	}
	// After a rewrap by this process, its handle has the new key.
	store.changed.Store(false)
	r.srv.probe(context.Background())
	at := filepath.Join(t.TempDir(), "new.key")
	if err := keys.NewMasterKeyFile(at); err != nil {
		t.Fatal(err)
	}
	mk, err := keys.LoadMasterKey(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := mk.Fingerprint()
	if err := r.ks.Rewrap(t.Context(), mk); err != nil {
		t.Fatal(err)
	}
	if a := r.send("GET", "/metrics", nil); !strings.Contains(string(a.body), `velonym_master_key_info{fingerprint="`+fingerprint+`"`) {
		t.Error("the metrics do not contain the new key's fingerprint")
	}
}

// changedKey is a keystore that fails as if another process had changed its master key
// while changed is set.
type changedKey struct {
	*keys.Keystore
	changed atomic.Bool
}

func (k *changedKey) Change(ctx context.Context) (uint64, error) {
	if k.changed.Load() {
		return 0, keys.ErrWrongMasterKey
	}
	return k.Keystore.Change(ctx)
}

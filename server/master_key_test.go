package server

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/velonym/velonym/engine/keys"
)

// TestMasterKeyChanged gives the keystore another master key while the server runs: it
// says so, and which key it has.
func TestMasterKeyChanged(t *testing.T) {
	var store changedKey
	r := newRig(t, func(c *Config) {
		store.Keystore = c.Keystore.(*keys.Keystore)
		c.Keystore = &store
	})
	if a := r.send("GET", "/metrics", nil); !strings.Contains(string(a.body), `velonym_master_key_info{fingerprint="`+r.ks.MasterKeyFingerprint()+`"`) ||
		!strings.Contains(string(a.body), "velonym_keystore_master_key_wrong 0\n") {
		t.Errorf("the metrics do not name the key: %.300s", a.body)
	}
	store.changed.Store(true)
	r.srv.probe(context.Background())
	if a := r.send("GET", "/readyz", nil); a.status != 503 || !strings.Contains(string(a.body), "KEYSTORE_MASTER_KEY") {
		t.Errorf("readyz %d %s", a.status, a.body)
	}
	if a := r.send("GET", "/metrics", nil); !strings.Contains(string(a.body), "velonym_keystore_master_key_wrong 1\n") {
		t.Error("the metric does not say so")
	}
	// The key follows what the keystore has.
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
	print := mk.Fingerprint()
	if err := r.ks.Rewrap(t.Context(), mk); err != nil {
		t.Fatal(err)
	}
	if a := r.send("GET", "/metrics", nil); !strings.Contains(string(a.body), `velonym_master_key_info{fingerprint="`+print+`"`) {
		t.Error("the metrics do not name the new key")
	}
}

// changedKey is a keystore whose master key another process has changed, when it says so.
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

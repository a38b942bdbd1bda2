package doctor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/backup"
	"github.com/velonym/velonym/engine/keys/postgres"
	"github.com/velonym/velonym/engine/keys/postgres/pgtest"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		defer pgtest.Stop()
		return m.Run()
	}())
}

// service is a keystore that was used, with an audit log beside it.
type service struct {
	t         *testing.T
	dir       string
	backupAge time.Duration
}

func newService(t *testing.T, options ...keys.Option) *service {
	t.Helper()
	s := &service{t: t, dir: t.TempDir()}
	s.must(os.Chmod(s.dir, 0o700))
	ctx := t.Context()
	s.must(keys.NewMasterKeyFile(s.at("master.key")))
	mk, err := keys.LoadMasterKey(ctx, s.at("master.key"))
	s.must(err)
	store, err := sqlite.Create(s.at("keystore.db"))
	s.must(err)
	s.use(store, mk, options...)
	return s
}

// use makes a project and records two calls under signed heads.
func (s *service) use(store keys.Store, mk *keys.MasterKey, options ...keys.Option) {
	s.t.Helper()
	ctx := s.t.Context()
	ks, err := keys.New(ctx, store, mk, options...)
	s.must(err)
	s.must(ks.CreateProject(ctx, keys.Project{Name: "study", Method: "reversible", Policy: "same", Form: "pair62", Retention: time.Now().Add(1000 * 24 * time.Hour)}, nil))
	signer, err := ks.HeadSigner(ctx)
	s.must(err)
	for range 2 {
		log, err := audit.Open(s.at("audit.jsonl"), audit.Options{Signer: signer})
		s.must(err)
		s.must(log.Append(audit.Record{Kind: "request", Request: "r", Op: "pseudonymise", Outcome: "OK", Values: 3}))
		s.must(log.Close())
	}
	copied := s.at("a.backup")
	_, err = backup.Write(ctx, ks, copied, backup.Options{})
	s.must(err)
	host, err := os.Hostname()
	s.must(err)
	s.must(ks.AddBackup(ctx, keys.KnownBackup{Place: host + ":" + copied, Made: time.Now().Add(-s.backupAge)}))
	s.must(backup.Note(ctx, ks, s.at("tombstones.jsonl"), nil))
	heads, _, err := audit.ReadHeads(s.at("audit.jsonl.heads"))
	s.must(err)
	h := heads[len(heads)-1]
	s.must(ks.KeepLogHead(ctx, keys.LogHead{Log: "the log", Seq: h.Seq, Digest: h.Digest, Time: h.Time, Key: h.Key, Signature: h.Signature}))
	s.must(errors.Join(signer.Close(), ks.Close()))
}

func (s *service) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) at(name string) string { return filepath.Join(s.dir, name) }

func (s *service) target() Target {
	host, err := os.Hostname()
	s.must(err)
	return Target{Dir: s.dir, Host: host, Keystore: s.at("keystore.db"), MasterKey: s.at("master.key"), Audit: s.at("audit.jsonl"), AuditName: "the log", Outputs: []string{s.dir}, Dumps: "off"}
}

// examine runs all checks and returns the results by check. Neither may a file have
// changed by them, nor a key be shown.
func (s *service) examine(t Target) map[string]Result {
	s.t.Helper()
	before := s.files()
	all := map[string]Result{}
	key, _ := os.ReadFile(s.at("master.key"))
	for _, r := range Run(s.t.Context(), t) {
		if old, ok := all[r.Check]; !ok || old.Status == OK {
			all[r.Check] = r
		}
		if len(key) > 32 && strings.Contains(r.Detail+r.Remedy, string(key[:32])) {
			s.t.Errorf("%s shows the master key", r.Check)
		}
		if (r.Status == Warn || r.Status == Fail) != (r.Remedy != "") {
			s.t.Errorf("%s is %s with remedy %q", r.Check, r.Status, r.Remedy)
		}
		if strings.Contains(r.Detail+r.Remedy, "\n") {
			s.t.Errorf("%s takes more than a line", r.Check)
		}
	}
	if after := s.files(); !maps.Equal(before, after) {
		s.t.Errorf("files were changed: %v, now %v", before, after)
	}
	return all
}

// files describes every file of the folder.
func (s *service) files() map[string]string {
	all := map[string]string{}
	s.must(filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "-shm") { // SQLite's index of a log that is in use
			return err
		}
		st, err := os.Lstat(path)
		if err != nil {
			return err
		}
		b, _ := os.ReadFile(path)
		sum := sha256.Sum256(b)
		all[path] = fmt.Sprint(st.Mode(), st.Size(), st.ModTime(), hex.EncodeToString(sum[:]))
		return nil
	}))
	return all
}

func (s *service) want(all map[string]Result, check string, status Status, texts ...string) {
	s.t.Helper()
	r, ok := all[check]
	if !ok || r.Status != status {
		s.t.Errorf("%s is %q (%s), want %s", check, r.Status, r.Detail, status)
		return
	}
	for _, text := range texts {
		if !strings.Contains(r.Detail+" | "+r.Remedy, text) {
			s.t.Errorf("%s says %q and %q, which lacks %q", check, r.Detail, r.Remedy, text)
		}
	}
}

// machine are the checks whose outcome depends on where the test runs.
var machine = map[string]bool{"time-sync": true, "key-memory": true, "disk-keystore": true, "disk-audit": true, "disk-output": true}

// TestHealthy: nothing is wrong with what velonym made, in use or not.
func TestHealthy(t *testing.T) {
	s := newService(t)
	healthy := func() {
		t.Helper()
		all := s.examine(s.target())
		for name, r := range all {
			if r.Status != OK && !machine[name] {
				t.Errorf("%s is %s: %s", name, r.Status, r.Detail)
			}
		}
		if len(all) < 17 {
			t.Errorf("only %d checks", len(all))
		}
	}
	healthy()
	store, err := sqlite.Open(s.at("keystore.db"))
	s.must(err)
	defer store.Close()
	s.must(store.Update(t.Context(), func(tx keys.Tx) error { return tx.RaiseChange() }))
	healthy()
}

// TestFaults breaks one thing each time.
func TestFaults(t *testing.T) {
	if !modesMatter {
		t.Skip("modes of files tell nothing here")
	}
	put := func(s *service, name, text string) { s.must(os.WriteFile(s.at(name), []byte(text), 0o600)) }
	lines := func(s *service, name string) []string {
		b, err := os.ReadFile(s.at(name))
		s.must(err)
		return strings.SplitAfter(strings.TrimSuffix(string(b), "\n"), "\n")
	}
	for _, c := range []struct {
		name   string
		damage func(*service)
		check  string
		status Status
		texts  []string
	}{
		{"key open", func(s *service) { s.must(os.Chmod(s.at("master.key"), 0o640)) }, "master-key", Fail, []string{"chmod 600", "0640"}},
		{"key gone", func(s *service) { s.must(os.Remove(s.at("master.key"))) }, "master-key", Fail, []string{"backup"}},
		{"key linked", func(s *service) {
			s.must(os.Rename(s.at("master.key"), s.at("elsewhere")))
			s.must(os.Symlink(s.at("elsewhere"), s.at("master.key")))
		}, "master-key", Warn, []string{"a link to"}},
		{"key linked to nothing", func(s *service) {
			s.must(os.Remove(s.at("master.key")))
			s.must(os.Symlink(s.at("nowhere"), s.at("master.key")))
		}, "master-key", Fail, []string{"nothing"}},
		{"other key", func(s *service) { put(s, "master.key", strings.Repeat("0f", 32)) }, "keystore", Fail, []string{"wrong master key", "--master-key"}},
		{"folder open", func(s *service) { s.must(os.Chmod(s.dir, 0o777)) }, "folder", Fail, []string{"chmod 700"}},
		{"folder seen", func(s *service) { s.must(os.Chmod(s.dir, 0o755)) }, "folder", Warn, []string{"chmod 700"}},
		{"keystore open", func(s *service) { s.must(os.Chmod(s.at("keystore.db"), 0o644)) }, "keystore-file", Fail, []string{"chmod 600"}},
		{"keystore gone", func(s *service) { s.must(os.Remove(s.at("keystore.db"))) }, "keystore-file", Fail, []string{"velonym init"}},
		{"keystore foreign", func(s *service) { put(s, "keystore.db", strings.Repeat("notes ", 100)) }, "keystore-wal", Fail, []string{"not an SQLite file"}},
		{"keystore damaged", func(s *service) {
			b, err := os.ReadFile(s.at("keystore.db"))
			s.must(err)
			for i := 4096; i < len(b); i++ {
				b[i] ^= 0x55
			}
			put(s, "keystore.db", string(b))
		}, "keystore-integrity", Fail, []string{"backup"}},
		{"log planted", func(s *service) {
			s.must(errors.Join(os.Remove(s.at("keystore.db-wal")), os.Symlink("/etc/passwd", s.at("keystore.db-wal"))))
		}, "keystore-wal", Fail, []string{"is a link", "move it away"}},
		{"log of others", func(s *service) { put(s, "keystore.db-wal", strings.Repeat("x", 4000)) }, "keystore-wal", Fail, []string{"no write-ahead log"}},
		{"log open", func(s *service) {
			put(s, "keystore.db-wal", "")
			s.must(os.Chmod(s.at("keystore.db-wal"), 0o666))
		}, "keystore-wal", Fail, []string{"0666"}},
		{"log of other pages", func(s *service) {
			put(s, "keystore.db-wal", "\x37\x7f\x06\x82\x00\x2d\xe2\x18\x00\x00\x02\x00"+strings.Repeat("x", 20))
		}, "keystore-wal", Fail, []string{"512 bytes"}},
		{"log without index", func(s *service) {
			put(s, "keystore.db-wal", "\x37\x7f\x06\x82\x00\x2d\xe2\x18\x00\x00\x10\x00"+strings.Repeat("x", 20))
			s.must(os.Remove(s.at("keystore.db-shm")))
		}, "keystore-wal", Warn, []string{"copied while in use", "project list"}},
		{"log gone", func(s *service) { s.must(os.Remove(s.at("keystore.db-wal"))) }, "keystore-wal", Fail, []string{"KEYSTORE_COPIED", "velonym backup"}},
		{"backup gone", func(s *service) { s.must(os.Remove(s.at("a.backup"))) }, "backups", Warn, []string{"1 of 1", "prune"}},
		{"no tombstones", func(s *service) { s.must(os.Remove(s.at("tombstones.jsonl"))) }, "tombstones", Warn, []string{"could not know"}},
		{"tombstones changed", func(s *service) {
			b, err := os.ReadFile(s.at("tombstones.jsonl"))
			s.must(err)
			put(s, "tombstones.jsonl", strings.Replace(string(b), `"receipt":0`, `"receipt":9`, 1))
		}, "tombstones", Fail, []string{"not signed"}},
		{"journal planted", func(s *service) { put(s, "keystore.db-journal", "x") }, "keystore-wal", Fail, []string{"-journal"}},
		{"audit open", func(s *service) { s.must(os.Chmod(s.at("audit.jsonl"), 0o664)) }, "audit-files", Fail, []string{"chmod 600"}},
		{"audit cut", func(s *service) {
			all := lines(s, "audit.jsonl")
			put(s, "audit.jsonl", strings.Join(all[:len(all)-3], ""))
		}, "audit-chain", Fail, []string{"missing"}},
		{"audit changed", func(s *service) {
			put(s, "audit.jsonl", strings.Replace(strings.Join(lines(s, "audit.jsonl"), ""), `"values":3`, `"values":4`, 1)+"\n")
		}, "audit-chain", Fail, []string{"velonym audit verify"}},
		{"audit gone", func(s *service) { s.must(os.Remove(s.at("audit.jsonl"))) }, "audit-chain", Fail, []string{"were signed"}},
		{"audit and heads cut", func(s *service) {
			put(s, "audit.jsonl", lines(s, "audit.jsonl")[0])
			s.must(os.Remove(s.at("audit.jsonl.heads")))
		}, "audit-chain", Fail, []string{"missing"}},
		{"heads gone", func(s *service) { s.must(os.Remove(s.at("audit.jsonl.heads"))) }, "audit-heads", Warn, []string{"cut off"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t)
			c.damage(s)
			s.want(s.examine(s.target()), c.check, c.status, c.texts...)
		})
	}
}

// TestKeystoreRows: rows that somebody else wrote, keys whose traces are left and a clock
// that is refused.
func TestKeystoreRows(t *testing.T) {
	s := newService(t)
	store, err := sqlite.Open(s.at("keystore.db"))
	s.must(err)
	s.must(store.Update(t.Context(), func(tx keys.Tx) error {
		return errors.Join(tx.SetRetention("study", time.Now().Add(time.Hour)), tx.SetMeta("scrub", []byte("x")))
	}))
	s.must(store.Close())
	all := s.examine(s.target())
	s.want(all, "projects", Fail, "KEYSTORE_TAMPERED", "backup")
	s.want(all, "traces", Warn, "rewritten")

	s = newService(t, keys.WithClock(func() time.Time { return time.Now().Add(400 * 24 * time.Hour) }))
	s.want(s.examine(s.target()), "clock", Fail, "KEYSTORE_CLOCK", "key clock --accept")
}

// TestNoKeystore: what cannot be checked is said to be so, with the reason.
func TestNoKeystore(t *testing.T) {
	s := &service{t: t, dir: t.TempDir()}
	all := s.examine(s.target())
	for _, check := range []string{"keystore-wal", "keystore", "schema", "projects", "clock"} {
		s.want(all, check, Skip, "there is no keystore")
	}
	s.want(all, "keystore-file", Fail, "velonym init")
}

// TestPostgres: the connection is looked at, and no table is written.
func TestPostgres(t *testing.T) {
	address := pgtest.Database(t, "ENCODING 'UTF8'")
	ctx := context.Background()
	s := &service{t: t, dir: t.TempDir(), backupAge: 9 * 24 * time.Hour}
	s.must(os.Chmod(s.dir, 0o700))
	target := s.target()
	target.Keystore = address
	s.must(keys.NewMasterKeyFile(s.at("master.key")))
	all := s.examine(target)
	s.want(all, "database", OK, "PostgreSQL")
	s.want(all, "keystore-integrity", Fail, "velonym init")
	mk, err := keys.LoadMasterKey(ctx, s.at("master.key"))
	s.must(err)
	store, err := postgres.Create(ctx, address)
	s.must(err)
	s.use(store, mk)
	store, err = postgres.Open(ctx, address)
	s.must(err)
	defer store.Close()
	before, err := store.Change(ctx, keys.ChangeQuery{})
	s.must(err)
	all = s.examine(target)
	s.want(all, "backups", Warn, "9 days", "velonym backup")
	for _, check := range []string{"database", "keystore", "schema", "projects", "clock", "audit-heads"} {
		s.want(all, check, OK)
	}
	if pgtest.Data() != "" {
		s.want(all, "database-tls", Skip, "socket")
		s.want(all, "database-user", Warn, "superuser")
	}
	if after, err := store.Change(ctx, keys.ChangeQuery{}); err != nil || after.Number != before.Number {
		t.Errorf("the keystore was changed: %d, then %d, %v", before.Number, after.Number, err)
	}
	target.Keystore = "postgres://u:SECRETWORD@127.0.0.1:1/db"
	all = s.examine(target)
	s.want(all, "database", Fail, "127.0.0.1")
	for _, r := range all {
		if strings.Contains(r.Detail+r.Remedy, "SECRETWORD") {
			t.Errorf("%s shows the password", r.Check)
		}
	}
}

// TestSmallDisk: a disk that is nearly full fails, and one that is not does not.
func TestSmallDisk(t *testing.T) {
	s, err := spaceOf(t.TempDir())
	if err != nil {
		t.Skip(err)
	}
	if r := disk("x", t.TempDir(), s.total, "nothing works"); r.Status != Fail || !strings.Contains(r.Detail, "nothing works") {
		t.Errorf("%+v", r)
	}
	if r := disk("x", filepath.Join(t.TempDir(), "none"), 0, ""); r.Status != Skip {
		t.Errorf("%+v", r)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 bytes", 1023: "1023 bytes", 1 << 10: "1.0 KiB", 64 << 20: "64.0 MiB", 5 << 40: "5.0 TiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for path, want := range map[string]string{"/a/b-1.key": "/a/b-1.key", "/a b": "'/a b'", "it's": `'it'\''s'`, "a;rm": "'a;rm'"} {
		if got := quote(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/backup"
)

// childKill is the variable that makes a child do one operation after the other until it is
// killed. Its value is the folder with the backups and both master keys, a comma, and the
// number of the child.
const childKill = "VELONYM_STORETEST_KILL"

// childRestore is the variable with the address at which that child restores a backup.
const childRestore = "VELONYM_STORETEST_RESTORE"

// killPoints is the number of children that testKill kills. VELONYM_KILLS sets another one.
const killPoints = 8

// loadEither opens a store with the one of two master keys that is in force and returns
// the path of the other.
func loadEither(ctx context.Context, s keys.Store, places ...string) (ks *keys.Keystore, other string, err error) {
	for i, at := range places {
		mk, e := keys.LoadMasterKey(ctx, at)
		if e != nil {
			return nil, "", e
		}
		if ks, err = keys.New(ctx, s, mk); err == nil || !errors.Is(err, keys.ErrWrongMasterKey) {
			return ks, places[1-i], err
		}
	}
	return nil, "", err
}

// killChild does one operation after the other and prints a line before and after each.
func killChild(ctx context.Context, s keys.Store, where string, restored Location) error {
	dir, number, _ := strings.Cut(where, ",")
	point, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	ks, other, err := loadEither(ctx, s, filepath.Join(dir, "a.key"), filepath.Join(dir, "b.key"))
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s.%d", number, n)
		p := keys.Project{Name: name, Method: "reversible", Policy: "same", Form: "pair62", Orgs: []string{"a", "b"}, Retention: time.Now().Add(24 * time.Hour)}
		backupAt := filepath.Join(dir, name+".backup")
		for _, act := range []struct {
			what string
			do   func() error
		}{
			{"create", func() error { return ks.CreateProject(ctx, p, nil) }},
			{"rotate", func() error { return ks.Rotate(ctx, name) }},
			{"lease", func() error { _, err := ks.Lease(ctx, "budget", 1<<40, 3); return err }},
			{"backup", func() error { _, err := backup.Write(ctx, ks, backupAt, backup.Options{}); return err }},
			{"restore", func() error {
				if n != point%2 {
					return nil // only one keystore can be restored there
				}
				return restoreEither(ctx, restored, backupAt, filepath.Join(dir, "a.key"), filepath.Join(dir, "b.key"))
			}},
			{"destroy", func() error { _, err := ks.DestroyGeneration(ctx, name, 0); return err }},
			{"rewrap", func() error {
				to, err := keys.LoadMasterKey(ctx, other)
				if err != nil {
					return err
				}
				if err := ks.Rewrap(ctx, to); err != nil {
					return err
				}
				other = filepath.Join(dir, map[string]string{"a.key": "b.key", "b.key": "a.key"}[filepath.Base(other)])
				return nil
			}},
			{"sever", func() error {
				if n%2 == 0 {
					return nil // projects with an even number are not severed
				}
				_, err := ks.Sever(ctx, name)
				return err
			}},
		} {
			fmt.Println("begin", act.what, name)
			if err := act.do(); err != nil && !errors.Is(err, keys.ErrTraces) {
				return fmt.Errorf("%s %s: %w", act.what, name, err)
			}
			fmt.Println("done", act.what, name)
		}
	}
}

// restoreEither restores a backup under whichever of the two master keys it needs.
func restoreEither(ctx context.Context, to Location, path string, places ...string) (err error) {
	for _, at := range places {
		mk, e := keys.LoadMasterKey(ctx, at)
		if e != nil {
			return e
		}
		err = to.Restore(func(s keys.Store) error {
			_, _, err := backup.Restore(ctx, s, mk, path, nil, keys.Tombstones{})
			return err
		})
		if !errors.Is(err, keys.ErrWrongMasterKey) {
			return err
		}
	}
	return err
}

// killed records, for one project, which operations a killed child had begun and which it had
// reported as done.
type killed struct{ done, begun map[string]bool }

// testKill kills processes during their operations. After each kill, every operation that was
// reported as done is in effect, one in progress has happened completely or not at all, and
// nothing else has changed.
func testKill(e *env) {
	points := killPoints
	if testing.Short() {
		points /= 2
	}
	if n, err := strconv.Atoi(os.Getenv("VELONYM_KILLS")); err == nil {
		points = n
	}
	dir := e.TempDir()
	key, err := os.ReadFile(e.keyAt)
	e.must(err)
	e.must(os.WriteFile(filepath.Join(dir, "a.key"), key, 0o600))
	e.must(keys.NewMasterKeyFile(filepath.Join(dir, "b.key")))
	leased := int64(0)
	for point := range points {
		e.Run(strconv.Itoa(point), func(t *testing.T) {
			sub := &env{T: t, ctx: t.Context(), location: e.location, again: e.again, keyAt: e.keyAt, mk: e.mk, store: e.store, ks: e.ks, began: e.began}
			leased = sub.killOnce(dir, point, leased)
		})
		if e.Failed() {
			return
		}
	}
}

// killOnce kills one child and checks what it left. It returns the values that were leased
// up to then.
func (e *env) killOnce(dir string, point int, leased int64) int64 {
	restored := e.again(e.T)
	cmd := e.child(0)
	cmd.Env = append(cmd.Env, childKill+"="+dir+","+strconv.Itoa(point), childRestore+"="+restored.Address())
	projects, doneLeases := e.runKilled(cmd, 1+rand.IntN(40))
	e.awaitEnd()
	s, err := e.location.Open()
	e.must(err)
	ks, _, err := loadEither(e.ctx, s, filepath.Join(dir, "a.key"), filepath.Join(dir, "b.key"))
	e.must(err)
	e.must(ks.Verify(e.ctx))
	for name, k := range projects {
		e.checkKilled(ks, dir, name, k)
	}
	spent, err := ks.Spent(e.ctx, "budget")
	e.must(err)
	if least := leased + 3*doneLeases; spent < least || spent > least+3 {
		e.Fatalf("the store counts %d values spent, want %d to %d", spent, least, least+3)
	}
	if _, err := ks.Sweep(e.ctx); err != nil {
		e.Fatal(err)
	}
	e.must(ks.Close())
	name := fmt.Sprintf("%d.%d", point, point%2)
	if k := projects[name]; k != nil && k.begun["restore"] {
		e.checkRestored(restored, dir, name, k.done["restore"])
	}
	return spent
}

// checkRestored checks a keystore that was being restored: it is complete, or it does not exist
// and can be restored again. done means that the child had finished.
func (e *env) checkRestored(at Location, dir, name string, done bool) {
	e.Helper()
	a, b := filepath.Join(dir, "a.key"), filepath.Join(dir, "b.key")
	err := restoreEither(e.ctx, at, filepath.Join(dir, name+".backup"), a, b)
	switch {
	case errors.Is(err, keys.ErrKeystoreExists):
	case err != nil:
		e.Fatalf("%s: restored again: %v", name, err)
	case done:
		e.Fatalf("%s: a keystore that was restored is gone", name)
	}
	s, err := at.Open()
	e.must(err)
	ks, _, err := loadEither(e.ctx, s, a, b)
	e.must(err)
	e.must(ks.Verify(e.ctx))
	p, err := ks.Project(e.ctx, name)
	e.must(err)
	for _, org := range p.Orgs {
		gens, err := ks.Secrets(e.ctx, keys.Domain{Prj: name, Org: org})
		if err != nil || len(gens) != 2 || gens[1].State != keys.Active {
			e.Errorf("%s: a restored domain has %d generations: %v", name, len(gens), err)
		}
		keys.WipeSecrets(gens)
	}
	e.must(ks.Close())
}

// runKilled runs a child and kills it soon after it has printed the given number of lines. It
// returns what the child reported, by project, and the number of its leases.
func (e *env) runKilled(cmd *exec.Cmd, lines int) (projects map[string]*killed, leases int64) {
	e.Helper()
	out, err := cmd.StdoutPipe()
	e.must(err)
	var failed strings.Builder
	cmd.Stderr = &failed
	e.must(cmd.Start())
	projects = map[string]*killed{}
	said := bufio.NewScanner(out)
	for n := 0; said.Scan(); n++ {
		f := strings.Fields(said.Text())
		k := projects[f[2]]
		if k == nil {
			k = &killed{map[string]bool{}, map[string]bool{}}
			projects[f[2]] = k
		}
		switch {
		case f[0] == "begin":
			k.begun[f[1]] = true
		default:
			k.done[f[1]] = true
			if f[1] == "lease" {
				leases++
			}
		}
		if n == lines {
			e.must(cmd.Process.Kill())
		}
	}
	_ = cmd.Wait()
	if failed.Len() > 0 {
		e.Fatal(failed.String())
	}
	return projects, leases
}

// checkKilled compares a project with what the killed child reported.
func (e *env) checkKilled(ks *keys.Keystore, dir, name string, k *killed) {
	e.Helper()
	at := filepath.Join(dir, name+".backup")
	if _, err := os.Lstat(at); err == nil {
		if _, err := backup.Verify(at, nil); err != nil {
			e.Errorf("%s: a backup that has its name: %v", name, err)
		}
	} else if k.done["backup"] {
		e.Errorf("%s: its backup is gone: %v", name, err)
	}
	p, err := ks.Project(e.ctx, name)
	if errors.Is(err, keys.ErrNotFound) && !k.done["create"] {
		return
	}
	if err != nil {
		e.Errorf("%s: %v", name, err)
		return
	}
	odd := strings.HasSuffix(name, "1") || strings.HasSuffix(name, "3") || strings.HasSuffix(name, "5") || strings.HasSuffix(name, "7") || strings.HasSuffix(name, "9")
	switch {
	case p.Severed && !(odd && k.begun["sever"]), !p.Severed && odd && k.done["sever"]:
		e.Errorf("%s: severed is %v: %+v", name, p.Severed, k)
	case p.Severed:
		if rs, err := ks.Receipts(e.ctx, name); err != nil || len(rs) != 2 {
			e.Errorf("%s: %d receipts, %v", name, len(rs), err)
		}
		if len(e.blobs(name)) != 0 {
			e.Errorf("%s: severed, and secrets are left", name)
		}
		return
	}
	for _, org := range p.Orgs {
		gens, err := ks.Secrets(e.ctx, keys.Domain{Prj: name, Org: org})
		if err != nil {
			e.Errorf("%s: %v", name, err)
			return
		}
		rotated, destroyed := gens[len(gens)-1].Gen == 1, gens[0].Gen == 1
		if rotated && !k.begun["rotate"] || !rotated && k.done["rotate"] || destroyed && !k.begun["destroy"] || !destroyed && k.done["destroy"] {
			e.Errorf("%s: %d generations live: %+v", name, len(gens), k)
		}
		keys.WipeSecrets(gens)
	}
}

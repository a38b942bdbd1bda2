package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/velonym/velonym/engine/keys/backup"
)

// oldBackup is the age from which the newest backup is worth a look.
const oldBackup = 8 * 24 * time.Hour

// checkBackups looks at the newest backup that the keystore knows of.
func checkBackups(ctx context.Context, p *patient) []Result {
	const check = "backups"
	if p.ks == nil {
		return []Result{skip(check, "not checked: %s", p.why)}
	}
	list, err := p.ks.Backups(ctx)
	if err != nil {
		return []Result{fail(check, remedyOf(err), "%v", plain(err))}
	}
	if len(list) == 0 {
		return []Result{warn(check, "make one with 'velonym backup -o FILE', or have a server make them with --backup-dir; if you copy the keystore otherwise, see docs/backup.md",
			"none is known")}
	}
	gone := 0
	for _, b := range list {
		path, here := strings.CutPrefix(b.Place, p.Host+":")
		if !here || !filepath.IsAbs(path) {
			continue
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			gone++
		}
	}
	newest := list[len(list)-1]
	age := time.Since(newest.Made)
	switch {
	case age > oldBackup:
		return []Result{warn(check, "make one with 'velonym backup -o FILE', or have a server make them with --backup-dir",
			"the newest of %d is %d days old", len(list), int(age.Hours()/24))}
	case gone > 0:
		return []Result{warn(check, "if they were moved, severings still have to reach them; 'velonym backup prune' takes those that are gone off the list",
			"%d of %d are not where they were made", gone, len(list))}
	}
	return []Result{ok(check, "%d known, the newest made at %s", len(list), newest.Made.UTC().Format(time.RFC3339))}
}

// checkTombstones compares the keystore with its tombstones.
func checkTombstones(ctx context.Context, p *patient) []Result {
	const check = "tombstones"
	if p.ks == nil {
		return []Result{skip(check, "not checked: %s", p.why)}
	}
	path := filepath.Join(p.Dir, "tombstones.jsonl")
	key, err := p.ks.ReceiptKey(ctx)
	if err != nil {
		return []Result{fail(check, remedyOf(err), "%v", plain(err))}
	}
	_, _, err = backup.Read(key, path)
	if errors.Is(err, fs.ErrNotExist) {
		return []Result{warn(check, "let a server of this version run, or use any verb that changes the keystore: it makes the file", "there are none at %s: a restore could not know what was severed or revoked", path)}
	}
	if err == nil {
		err = backup.Check(ctx, p.ks, path)
	}
	if err != nil {
		return []Result{fail(check, "find out who changed or put back what; docs/backup.md says how to go on", "%v", plain(err))}
	}
	return []Result{ok(check, "%s fits the keystore", path)}
}

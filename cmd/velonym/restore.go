package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/backup"
	"github.com/velonym/velonym/engine/keys/postgres"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

// restoreFlags holds the flags of `velonym restore`.
type restoreFlags struct {
	identity   string
	tombstones []string
	audit      []string
	without    bool
	noAudit    bool
}

func newRestore(g *globals) *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Bring a backup back, without what was severed, revoked or spent since",
		Long: `Restores a backup to where --keystore says, an SQLite file or a PostgreSQL database:
never over a keystore that is there. It needs the master key of then.

What was destroyed, revoked or shortened since the backup is not brought back: it
stands, signed, in DIR/tombstones.jsonl beside the audit log, and values that tokens used
stand in the audit log. Give those of other servers too, with --tombstones and --audit.
Without them nobody can know it: --without-tombstones and --without-audit say that you
take that on you. Budgets of tokens in use when a process was killed count as spent. What was made
since the backup, as projects and generations, is lost, and is named as far as the audit
log knows it.

An older copy of a keystore that was put back by hand is refused (KEYSTORE_OLDER) where
tombstones are beside it. To go on from it, move it and the master key into a folder of
its own, 'velonym --dir ASIDE backup -o FILE', and restore FILE here.`,
		Example: `  velonym restore /backup/velonym-2026-11-29.backup
  velonym restore nightly.backup --identity key.txt --keystore postgres://velonym@db.example/velonym`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.restore(cmd, g, args[0]) },
	}
	fl := cmd.Flags()
	identityFlag(fl, &f.identity)
	fl.StringArrayVar(&f.tombstones, "tombstones", nil, "a tombstone `FILE` (repeatable; default DIR/tombstones.jsonl)")
	fl.StringArrayVar(&f.audit, "audit", nil, "an audit log `FILE` (repeatable; default DIR/audit.jsonl and those it was rotated into)")
	fl.BoolVar(&f.without, "without-tombstones", false, "restore although nobody knows what was severed, revoked or shortened since")
	fl.BoolVar(&f.noAudit, "without-audit", false, "restore although nobody knows what tokens have used of their budgets since")
	return cmd
}

func (f *restoreFlags) restore(cmd *cobra.Command, g *globals, file string) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	ids, err := readIdentities(f.identity)
	if err != nil {
		return err
	}
	r, err := backup.Verify(file, ids)
	if err != nil {
		return err
	}
	place, masterPlace, err := g.locations()
	if err != nil {
		return err
	}
	since, err := f.readSince(g, r.Header)
	if err != nil {
		return err
	}
	master, err := keys.LoadMasterKey(ctx, masterPlace)
	if err != nil {
		return err
	}
	g.warnWeakKey(masterPlace)
	merged, err := restoreTo(ctx, place, master, file, ids, since.tombstones)
	if err != nil {
		return err
	}
	ks, err := g.openKeystore(ctx)
	if err != nil {
		return fmt.Errorf("restored, but it does not open: %w", err)
	}
	defer ks.Close()
	if _, err := ks.Sweep(ctx); err != nil && !errors.Is(err, keys.ErrClock) {
		fmt.Fprintf(stderr, "velonym: restored; its first sweep failed: %v\n", err)
	}
	err = g.recorded(ctx, ks, audit.Record{Op: "restore"}, func(*keyAct) error {
		from, err := logName(file)
		if err != nil {
			return err
		}
		return ks.AddBackup(ctx, keys.KnownBackup{Place: from, Made: r.Made})
	})
	fmt.Fprintf(stderr, "restored %s as of %s to %s\n", counted(int64(merged.Projects), "project"), localTime(r.Made), printable(locationText(place)))
	fmt.Fprintf(stderr, "not brought back: keys of %s and %s, %s or rules of revocation, %s; %s had been used\n",
		counted(int64(merged.Severed), "project"), counted(int64(merged.Generations), "generation"), counted(int64(merged.Revoked), "token"), counted(int64(merged.Shortened), "later end"), counted(int64(merged.Spent), "budget"))
	if since.logs == 0 {
		fmt.Fprintf(stderr, "velonym: warning: no audit log was read: what tokens used of their budgets since %s counts as unused: revoke tokens with a budget\n", localTime(r.Made))
	}
	if merged.Replaced > 0 {
		fmt.Fprintf(stderr, "%d projects have a new active generation, since the one that was is destroyed\n", merged.Replaced)
	}
	if !since.until.IsZero() {
		fmt.Fprintf(stderr, "by tombstones up to %s\n", localTime(since.until))
	}
	for _, name := range since.created {
		if _, err := ks.Project(ctx, name); errors.Is(err, keys.ErrNotFound) {
			fmt.Fprintf(stderr, "lost, because it was made since the backup: project %s\n", printable(name))
		}
	}
	for _, name := range since.rotated {
		if p, err := ks.Project(ctx, name); err == nil && !p.Severed {
			fmt.Fprintf(stderr, "lost, because it was made since the backup: a generation of project %s\n", printable(name))
		}
	}
	if _, e := ks.Change(ctx); errors.Is(e, keys.ErrClock) {
		fmt.Fprintf(stderr, "velonym: %v\n", e)
	}
	return err
}

// locationText names a keystore, without a password.
func locationText(place string) string {
	if isPostgres(place) {
		return "the PostgreSQL database"
	}
	return place
}

// restoreTo restores to a new file, which gets its name when it is complete, or to a
// database in one transaction.
func restoreTo(ctx context.Context, place string, mk *keys.MasterKey, file string, ids []age.Identity, t keys.Tombstones) (m keys.Merged, err error) {
	fill := func(store keys.Store) (err error) {
		_, m, err = backup.Restore(ctx, store, mk, file, ids, t)
		return err
	}
	if isPostgres(place) {
		err = postgres.Restore(ctx, place, fill)
		return m, err
	}
	err = sqlite.Restore(place, fill)
	return m, err
}

// since holds what happened since a backup, from tombstones and audit logs.
type since struct {
	tombstones keys.Tombstones
	until      time.Time // of the last tombstones
	created    []string  // projects that were created
	rotated    []string  // projects that got another generation
	logs       int       // audit logs that were read
}

// readSince reads tombstones and audit logs.
func (f *restoreFlags) readSince(g *globals, h backup.Header) (s since, err error) {
	paths := f.tombstones
	if len(paths) == 0 {
		path, err := g.inFolder("tombstones.jsonl")
		if err != nil {
			return s, err
		}
		paths = []string{path}
	}
	s.tombstones, s.until, err = backup.Read(h.Store, paths...)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !f.without:
		return s, fmt.Errorf("restore: there are no tombstones at %s: whether projects were severed, tokens revoked or retentions shortened since %s cannot be known, and they would come back: find the file (it is beside the audit log of each server) and name it with --tombstones, or say --without-tombstones", strings.Join(paths, ", "), localTime(h.Made))
	case err != nil && !f.without:
		return s, err
	}
	files := f.audit
	if len(files) == 0 {
		if files, err = g.auditFiles(nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	if s.logs = len(files); s.logs == 0 && !f.noAudit {
		return s, fmt.Errorf("restore: there is no audit log: what tokens have used of their budgets since %s, and what was created, cannot be known, and the budgets would be whole again: find the log of each server and name it with --audit, or say --without-audit and revoke the tokens that have a budget", localTime(h.Made))
	}
	from := h.Made
	if h.Database {
		from = from.Add(-keys.ClockTolerance)
	}
	return s, s.readAudit(from, files, f.without)
}

// readAudit reads from audit logs the values that tokens spent, the tokens that were
// revoked and the projects and generations that were created. It refuses a severing that
// no tombstone mentions, unless without is set.
func (s *since) readAudit(from time.Time, files []string, without bool) error {
	used := map[string]int64{}
	running := map[string]string{} // runs that have begun: their token
	created := map[string]bool{}
	s.tombstones.Rotated = map[string]int{}
	var severed []string
	err := audit.Query(audit.Filter{Since: from}, func(e *audit.Entry) error {
		switch e.Kind {
		case "request", "run":
			if strings.HasPrefix(e.JTI, "local:") || e.JTI == "" {
				return nil
			}
			if e.Outcome == "BEGUN" {
				running[e.Request+" "+e.JTI] = e.JTI
				return nil
			}
			delete(running, e.Request+" "+e.JTI)
			used[e.JTI] += e.Values
		case "key":
			if e.Outcome == "BEGUN" || e.Outcome == "FAILED" {
				return nil
			}
			switch e.Op {
			case "revoke":
				if e.JTI != "" && !slices.ContainsFunc(s.tombstones.Revoked, func(r keys.Revocation) bool { return r.JTI == e.JTI }) {
					s.tombstones.Revoked = append(s.tombstones.Revoked, keys.Revocation{JTI: e.JTI})
				}
			case "sever", "sweep":
				severed = append(severed, e.Project)
			case "create":
				created[e.Project] = true
			case "rotate":
				s.tombstones.Rotated[e.Project]++
			}
		}
		return nil
	}, files...)
	if err != nil {
		return err
	}
	for _, jti := range running {
		used[jti] = math.MaxInt64 // killed: the number of values it used is unknown
	}
	for jti, n := range used {
		s.tombstones.Spent = append(s.tombstones.Spent, keys.Spending{JTI: jti, Values: n})
	}
	s.created, s.rotated = slices.Sorted(maps.Keys(created)), slices.Sorted(maps.Keys(s.tombstones.Rotated))
	for _, name := range severed {
		known := slices.ContainsFunc(s.tombstones.Receipts, func(r keys.Receipt) bool { return r.Project == name && r.Reason != keys.ReasonGeneration })
		if !known && !without {
			return fmt.Errorf("restore: the audit log says that project %q was severed, and no tombstone does: the tombstone file is older, or was cut: find the newest with --tombstones, or say --without-tombstones and sever it again", name)
		}
	}
	return nil
}

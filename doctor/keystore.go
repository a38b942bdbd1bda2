package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/postgres"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

// checkDatabase looks at the store as such: an SQLite file with what stands beside it, or
// the connection to PostgreSQL.
func checkDatabase(ctx context.Context, p *patient) []Result {
	if postgres.IsAddress(p.Keystore) {
		return p.checkPostgres(ctx)
	}
	const check = "keystore-wal"
	about, err := sqlite.InspectFiles(p.Keystore)
	switch {
	case errors.Is(err, keys.ErrNoKeystore):
		p.why = "there is no keystore"
		return []Result{skip(check, "there is no keystore at %s", p.Keystore)}
	case errors.Is(err, sqlite.ErrSideFile):
		p.why = "what stands beside its file is not its own"
		return []Result{fail(check, "stop velonym, find out who put it there, and move it away; SQLite would take it for the keystore's own", "%v", plain(err))}
	case errors.Is(err, keys.ErrCopied):
		p.why = "its write-ahead log is missing"
		return []Result{fail(check, "copy both files while nothing uses the keystore, or use 'velonym backup' and 'velonym restore'", "%v", plain(err))}
	case err != nil:
		p.why = "its file is not one"
		return []Result{fail(check, "restore it from a backup, or name the right file", "%v", plain(err))}
	case about.Unrecovered:
		p.why = "its write-ahead log has no index, and making one would write"
		return []Result{warn(check, "run 'velonym project list', which recovers it, and look again",
			"%s-wal stands there without its -shm: the file was copied while in use, or the machine went down", p.Keystore)}
	}
	return append([]Result{aboutLog(check, p.Keystore, about)}, p.openStore(ctx)...)
}

// longLog is how long a write-ahead log should not become: a checkpoint empties it every
// thousand pages unless a reader is in the way.
const longLog = 64 << 20

func aboutLog(check, path string, about sqlite.Files) Result {
	switch {
	case about.Log > longLog:
		return warn(check, "find the process that holds it open (lsof, fuser), as a copy or an sqlite3 shell, and end that",
			"%s-wal has %s: somebody has been reading for long", path, size(uint64(about.Log)))
	case about.Log > 0:
		return ok(check, "in use, or left by a process that was killed: write-ahead log of %s", size(uint64(about.Log)))
	}
	return ok(check, "closed, or in use: nothing is in its write-ahead log")
}

// openStore opens an SQLite file for reading.
func (p *patient) openStore(context.Context) []Result {
	s, err := sqlite.OpenReading(p.Keystore)
	if err != nil {
		p.why = "its file does not open"
		return []Result{fail("keystore-integrity", remedyOf(err), "%v", plain(err))}
	}
	p.store = readOnly{s}
	return []Result{ok("keystore-integrity", "SQLite finds its structure whole")}
}

// checkPostgres looks at the connection.
func (p *patient) checkPostgres(ctx context.Context) []Result {
	c, err := postgres.Inspect(ctx, p.Keystore)
	if err != nil {
		p.why = "its database does not answer"
		return []Result{fail("database", remedyOf(err), "%v", plain(err)), skip("database-tls", "there is no connection")}
	}
	all := []Result{ok("database", "PostgreSQL %s answers in %v", c.Version, c.Took.Round(100*time.Microsecond))}
	switch {
	case c.Local:
		all = append(all, skip("database-tls", "it is reached through a socket on this machine"))
	case !c.TLS:
		all = append(all, fail("database-tls", "give --tls-root FILE, or sslmode=verify-full and sslrootcert=FILE in the address", "the connection is not encrypted: wrapped keys and receipts cross the network in clear"))
	case !c.Verified:
		all = append(all, warn("database-tls", "give --tls-root FILE, or sslmode=verify-full and sslrootcert=FILE in the address", "the connection is encrypted (%s), and the server's certificate is not checked: anybody in between can be the server", c.Cipher))
	default:
		all = append(all, ok("database-tls", "encrypted (%s), the server's certificate is checked", c.Cipher))
	}
	if c.Superuser {
		all = append(all, warn("database-user", "make a user who owns the schema velonym and nothing else", "velonym connects as a superuser of the database"))
	} else {
		all = append(all, ok("database-user", "it is no superuser"))
	}
	s, err := postgres.Open(ctx, p.Keystore)
	if err != nil {
		p.why = "its database holds none that opens"
		return append(all, fail("keystore-integrity", remedyOf(err), "%v", plain(err)))
	}
	p.store = readOnly{s}
	return append(all, ok("keystore-integrity", "its tables are there"))
}

// checkSchema compares the version of the tables.
func checkSchema(ctx context.Context, p *patient) []Result {
	const check = "schema"
	if p.store == nil {
		return []Result{skip(check, "not checked: %s", p.why)}
	}
	var version int
	err := p.store.View(ctx, func(tx keys.Tx) (err error) {
		version, err = tx.Schema()
		return err
	})
	switch {
	case err != nil:
		return []Result{fail(check, remedyOf(err), "%v", plain(err))}
	case version < keys.SchemaVersion:
		return []Result{warn(check, "back it up; the next 'velonym' command that writes brings it to the new version, and older programs cannot use it then", "it has version %d, this program makes %d of it", version, keys.SchemaVersion)}
	}
	return []Result{ok(check, "version %d", version)}
}

// checkOpens opens the store with the master key.
func checkOpens(ctx context.Context, p *patient) []Result {
	const check = "keystore"
	if p.store == nil {
		return []Result{skip(check, "not checked: %s", p.why)}
	}
	mk, err := keys.LoadMasterKey(ctx, p.MasterKey)
	if err != nil {
		p.why = "there is no master key"
		return []Result{fail(check, remedyOf(err), "%v", plain(err))}
	}
	ks, err := keys.New(ctx, p.store, mk)
	switch {
	case errors.Is(err, errLooking):
		p.why = "it is of an older version, or was never used"
		return []Result{skip(check, "not checked: %s, and opening it would write", p.why)}
	case err != nil:
		p.why = "it does not open with this master key"
		return []Result{fail(check, remedyOf(err), "%v", plain(err))}
	}
	p.ks = ks
	return []Result{ok(check, "%s opens with the master key %s", p.store.Name(), ks.MasterKeyFingerprint())}
}

// checkProjects checks every project's seal.
func checkProjects(ctx context.Context, p *patient) []Result {
	const check = "projects"
	if p.ks == nil {
		return []Result{skip(check, "not checked: %s", p.why)}
	}
	all, err := p.ks.Projects(ctx)
	if err != nil {
		return []Result{fail(check, remedyOf(err), "%v", plain(err))}
	}
	return []Result{ok(check, "%d, each as velonym left it", len(all))}
}

// checkTraces says whether destroyed keys may be left in old pages.
func checkTraces(ctx context.Context, p *patient) []Result {
	const check = "traces"
	if p.ks == nil {
		return []Result{skip(check, "not checked: %s", p.why)}
	}
	pending, err := p.ks.TracesPending(ctx)
	switch {
	case err != nil:
		return []Result{fail(check, remedyOf(err), "%v", plain(err))}
	case pending:
		return []Result{warn(check, "let a server run, or use any verb that changes the keystore: each tries again; make room on its disk, and end programs that hold it open",
			"keys were destroyed, and the files that held them could not be rewritten yet")}
	}
	return []Result{ok(check, "none of destroyed keys")}
}

// remedyOf is what to do about an error whose text may not say it.
func remedyOf(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it did not answer within %v: see that the database runs and its disk is not overloaded", timeout)
	case errors.Is(err, keys.ErrNoKeystore):
		return "make one with 'velonym init', or name its place with --dir or --keystore"
	case errors.Is(err, keys.ErrWrongMasterKey), errors.Is(err, keys.ErrMasterKey):
		return "give the master key that this keystore was made with (--master-key)"
	case errors.Is(err, keys.ErrSchema):
		return "use the newer version of velonym that made it"
	case errors.Is(err, keys.ErrTampered):
		return "stop every server, keep a copy of the keystore for evidence, and restore a backup"
	case errors.Is(err, keys.ErrCorrupt), errors.Is(err, keys.ErrForeign):
		return "stop every server and restore a backup; the file is left as it is"
	case errors.Is(err, keys.ErrUnreadable):
		return "run as the user who runs velonym; for a database see that it runs, and address, user and certificate"
	}
	return "see what the text says"
}

// plain is an error on one line, without the name of the room that it comes from.
func plain(err error) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "keys: ")), " ")
}

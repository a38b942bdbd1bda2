package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys/postgres"
)

// Bits of a file's mode.
const (
	othersMay   fs.FileMode = 0o077
	othersWrite fs.FileMode = 0o022
)

// checkFolder looks at the folder of keystore and keys.
func checkFolder(_ context.Context, p *patient) []Result {
	return []Result{folder("folder", p.Dir)}
}

// folder checks a folder that holds secrets or records.
func folder(check, path string) Result {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(check, "make it with 'velonym init', or name another with --dir", "there is no folder %s", path)
	case err != nil:
		return fail(check, "run as the user who runs velonym", "%v", err)
	case !st.IsDir():
		return fail(check, "name the folder with --dir", "%s is not a folder", path)
	}
	perm := st.Mode().Perm()
	switch {
	case !modesMatter:
		return skip(check, "%s: who may read it is not known on this system", path)
	case perm&othersWrite != 0 && st.Mode()&fs.ModeSticky == 0:
		return fail(check, "chmod 700 "+quote(path), "others can put and take files in %s (mode %04o)", path, perm)
	case perm&othersMay != 0:
		return warn(check, "chmod 700 "+quote(path), "others can see what is in %s (mode %04o)", path, perm)
	}
	if r, bad := foreign(check, path, st); bad {
		return r
	}
	return ok(check, "%s is its owner's alone", path)
}

// secretFile checks a file that only its owner may read.
func secretFile(check, path, missing string) Result {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(check, missing, "there is no file %s", path)
	case err != nil:
		return fail(check, "run as the user who runs velonym", "%v", err)
	}
	link := ""
	if st.Mode()&fs.ModeSymlink != 0 {
		if link, err = filepath.EvalSymlinks(path); err != nil {
			return fail(check, "put the file back, or remove the link", "%s is a link to nothing", path)
		}
		if st, err = os.Stat(path); err != nil {
			return fail(check, "run as the user who runs velonym", "%v", err)
		}
	}
	if !st.Mode().IsRegular() {
		return fail(check, "find out who put it there, and move it away", "%s is not a regular file", path)
	}
	switch perm := st.Mode().Perm(); {
	case !modesMatter:
		return skip(check, "%s: who may read it is not known on this system", path)
	case perm&othersMay != 0:
		return fail(check, "chmod 600 "+quote(path)+", and consider who read it", "%s is open to others than its owner (mode %04o)", path, perm)
	}
	if r, bad := foreign(check, path, st); bad {
		return r
	}
	if link != "" {
		return warn(check, "if you did not make the link, find out who did", "%s is a link to %s", path, link)
	}
	return ok(check, "%s is its owner's alone", path)
}

// foreign tells of a file whose owner is not the user who looks.
func foreign(check, path string, st os.FileInfo) (Result, bool) {
	owner, me, known := owners(st)
	if !known || owner == me {
		return Result{}, false
	}
	return warn(check, "run velonym, and this, as the user who owns it", "%s belongs to user %d, and this is user %d", path, owner, me), true
}

// checkMasterKeyFile looks at the master key's source without reading the key.
func checkMasterKeyFile(_ context.Context, p *patient) []Result {
	const check = "master-key"
	switch {
	case strings.HasPrefix(p.MasterKey, "env:"):
		return []Result{warn(check, "a 0600 file, exec: or a systemd credential is stronger", "it comes from an environment variable: whoever starts velonym has it too")}
	case strings.HasPrefix(p.MasterKey, "exec:"):
		return []Result{ok(check, "it comes from a command")}
	}
	r := secretFile(check, p.MasterKey, "restore it from your backup, or name its source with --master-key; without it no secret can be read")
	if r.Status == Fail && inCredentials(p.MasterKey) {
		// systemd hands credentials out as 0440 in a folder of the service's own.
		if st, err := os.Stat(p.MasterKey); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o037 == 0 {
			return []Result{ok(check, "%s is a systemd credential", p.MasterKey)}
		}
	}
	return []Result{r}
}

func inCredentials(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	return dir != "" && filepath.Dir(filepath.Clean(path)) == filepath.Clean(dir)
}

// checkKeystoreFiles looks at the file of a keystore, its folder, and what SQLite keeps
// beside it.
func checkKeystoreFiles(_ context.Context, p *patient) []Result {
	const check = "keystore-file"
	if postgres.IsAddress(p.Keystore) {
		return []Result{skip(check, "the keystore is a database")}
	}
	all := []Result{secretFile(check, p.Keystore, "make one with 'velonym init', name its place, or restore it from a backup")}
	if d := filepath.Dir(p.Keystore); !sameFolder(d, p.Dir) {
		all = append(all, folder("keystore-folder", d))
	}
	return all
}

func sameFolder(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// checkAuditFiles looks at who may read and write the audit log, its older files and its
// heads.
func checkAuditFiles(_ context.Context, p *patient) []Result {
	const check = "audit-files"
	if p.Audit == "" {
		return []Result{warn(check, "leave --audit none out", "no record is kept")}
	}
	var all []Result
	if d := filepath.Dir(p.Audit); !sameFolder(d, p.Dir) {
		all = append(all, folder("audit-folder", d))
	}
	files, err := audit.Files(p.Audit)
	if errors.Is(err, fs.ErrNotExist) {
		return append(all, skip(check, "there is no audit log at %s yet", p.Audit))
	}
	if err != nil {
		return append(all, fail(check, "name the file with --audit", "%v", err))
	}
	if _, err := os.Lstat(audit.HeadsPath(p.Audit)); err == nil {
		files = append(files, audit.HeadsPath(p.Audit))
	}
	for _, path := range files {
		if r := secretFile(check, path, ""); r.Status != OK {
			return append(all, r)
		}
		if err := mayWrite(path); err != nil {
			return append(all, fail(check, "give it to the user who runs velonym: chown "+quote(path), "%s cannot be written: %v", path, err))
		}
	}
	return append(all, ok(check, "%d files are their owner's alone", len(files)))
}

// quote writes a path so that a shell takes it as it is.
func quote(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._-+,:@", r)
	}) {
		return fmt.Sprintf("'%s'", strings.ReplaceAll(path, "'", `'\''`))
	}
	return path
}

package bulk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// outFile is the part of os.File that a run needs for its output.
type outFile interface {
	io.Writer
	io.WriterAt
	Sync() error
	Truncate(int64) error
	Close() error
}

// target is an output: a temporary file that is renamed when it is complete, or standard
// output.
type target struct {
	given  string // path as the user gave it; "-" for standard output
	path   string // final path: given, or the file that it links to
	mode   os.FileMode
	temp   string // temporary name in the same folder; "" for standard output
	name   string // for messages
	w      io.Writer
	f      outFile  // nil for standard output
	lock   *os.File // the temporary file, locked until it is closed
	closed bool
}

const stdoutName = "standard output"

// tempName returns the temporary name of an output.
func tempName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".velonym-part")
}

// openTarget creates the temporary file of path, with permissions no wider than those of the
// input. info describes the input, or is nil. With keep it continues the temporary file that
// an earlier run left.
func (j *Job) openTarget(path string, info os.FileInfo, keep bool) (*target, error) {
	if path == "-" {
		w := j.Stdout
		if w == nil {
			w = os.Stdout
		}
		if w == io.Writer(os.Stdout) && closedAtStart(os.Stdout) {
			return nil, ErrStdoutClosed
		}
		return &target{given: path, path: path, name: stdoutName, w: w}, nil
	}
	given := path
	path, err := resolveLink(path)
	if err != nil {
		return nil, err
	}
	if err := checkFree(path, j.Force); err != nil {
		return nil, err
	}
	temp := tempName(path)
	mode := os.FileMode(0o600)
	if info != nil {
		mode = info.Mode() & 0o666 &^ umask()
	}
	f, err := openPart(temp, keep)
	switch {
	case errors.Is(err, errBusy):
		return nil, fmt.Errorf("cannot write %s: another run is writing it (%s)", given, temp)
	case errors.Is(err, errNotOwn):
		return nil, fmt.Errorf("cannot resume %s: %w", given, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("cannot write %s: permission denied for its hidden part %s: the folder is not yours to write, or the part is another user's: write to another folder, or have it removed", given, temp)
	case err != nil:
		return nil, fmt.Errorf("cannot write %s: %w", given, bareErr(err))
	}
	t := &target{given: given, path: path, temp: temp, name: given, lock: f}
	if t.mode, err = restrictAccess(f, mode, info); err != nil {
		t.discard()
		return nil, fmt.Errorf("cannot write %s: %w", path, bareErr(err))
	}
	t.f = f
	if j.wrapOut != nil {
		t.f = j.wrapOut(f)
	}
	t.w = t.f
	return t, nil
}

// resolveLink returns the file that a symbolic link refers to, so that the file is checked,
// locked and replaced and the link stays. It returns other paths unchanged.
func resolveLink(path string) (string, error) {
	if st, err := os.Lstat(path); err != nil || st.Mode()&os.ModeSymlink == 0 {
		return path, nil // opening it reports the error
	}
	st, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%s: is a symbolic link to nothing; name the file itself", path)
	}
	if st.IsDir() || !st.Mode().IsRegular() {
		return path, checkKind(path, st)
	}
	to, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%s: is a symbolic link that cannot be followed; name the file itself", path)
	}
	return to, nil
}

// checkKind refuses a path that is not a regular file.
func checkKind(path string, st os.FileInfo) error {
	switch {
	case st.IsDir():
		return fmt.Errorf("%s: is a folder", path)
	case st.Mode()&os.ModeSymlink != 0:
		return fmt.Errorf("%s: is a symbolic link; name the file itself", path)
	case !st.Mode().IsRegular():
		return fmt.Errorf("%s: is no regular file; write to - and redirect", path)
	}
	return nil
}

// checkFree refuses a path that exists, unless force is set and it is a regular file.
func checkFree(path string, force bool) error {
	switch st, err := os.Lstat(path); {
	case err == nil && checkKind(path, st) != nil:
		return checkKind(path, st)
	case err == nil && !force:
		return &ExistsError{path}
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return plainPathError(err)
	}
	return nil
}

// writeError converts an error of writing the output.
func (t *target) writeError(err error) error {
	return fmt.Errorf("cannot write %s: %w", t.name, bareErr(err))
}

// finish syncs the temporary file; commit renames it.
func (t *target) finish() error {
	if t.f == nil {
		return nil
	}
	err := t.f.Sync()
	if err != nil {
		return t.writeError(err)
	}
	return nil
}

// commit renames the file to its final path and syncs the folder.
func (t *target) commit(force bool) error {
	if t.f == nil {
		return nil
	}
	// The path may have come into existence since the run started.
	if err := checkFree(t.path, force); err != nil {
		return err
	}
	if !t.isAt(t.temp) {
		return t.writeError(errReplaced)
	}
	if err := os.Rename(t.temp, t.path); err != nil {
		return t.writeError(err)
	}
	if !t.isAt(t.path) {
		return t.writeError(errReplaced)
	}
	// Not earlier, since a resumed run requires that nobody else can open the part.
	if err := t.lock.Chmod(t.mode); err != nil {
		return t.writeError(err)
	}
	err := t.f.Close()
	t.closed = true
	if serr := syncDir(filepath.Dir(t.path)); err == nil {
		err = serr
	}
	if err != nil {
		return t.writeError(err)
	}
	return nil
}

// errReplaced is returned if another user removed or replaced the temporary file.
var errReplaced = errors.New("someone else removed or exchanged its hidden part; write to a folder of your own")

// isAt reports whether path is the file that was written.
func (t *target) isAt(path string) bool {
	ours, err := t.lock.Stat()
	there, err2 := os.Lstat(path)
	return err == nil && err2 == nil && os.SameFile(ours, there)
}

// discard closes and removes the temporary file.
func (t *target) discard() {
	if t.temp != "" && !t.closed {
		if t.isAt(t.temp) {
			os.Remove(t.temp)
		}
		t.release()
	}
}

// abandon closes the temporary file before anything was written to it. It keeps that of an
// interrupted run.
func (t *target) abandon(resumed bool) {
	if resumed {
		t.release()
	} else {
		t.discard()
	}
}

// release closes the temporary file and leaves it for a resume.
func (t *target) release() {
	if t.closed {
		return
	}
	t.closed = true
	if t.f != nil {
		t.f.Close()
	} else if t.lock != nil {
		t.lock.Close()
	}
}

// syncDir makes a rename in the folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !syncUnsupported(err) {
		return err
	}
	return nil
}

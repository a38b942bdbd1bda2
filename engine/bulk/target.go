package bulk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// outFile is what a run needs of the file it writes.
type outFile interface {
	io.Writer
	io.WriterAt
	Sync() error
	Truncate(int64) error
	Close() error
}

// target is an output that appears under its name only when it is complete, or
// standard output.
type target struct {
	given  string // name that the user gave; "-" for standard output
	path   string // final name: given, or what it is a link to
	mode   os.FileMode
	temp   string // temporary name in the same folder; "" for standard output
	name   string // for messages
	w      io.Writer
	f      outFile  // nil for standard output
	lock   *os.File // the temporary file, locked while we write it
	closed bool
}

const stdoutName = "standard output"

// tempName is the name under which path is being written.
func tempName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".velonym-part")
}

// openTarget makes the temporary file of path with permissions not wider than
// the input's; info is the input's, nil if it has none. With keep the content of
// a temporary file that an earlier run left is kept.
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
	path, err := behindLink(path)
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
	f, err := takePart(temp, keep)
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
	if t.mode, err = narrow(f, mode, info); err != nil {
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

// behindLink returns the file that a symbolic link stands for, so that the link
// stays and what is judged, locked and replaced is the file; another path as it is.
func behindLink(path string) (string, error) {
	if st, err := os.Lstat(path); err != nil || st.Mode()&os.ModeSymlink == 0 {
		return path, nil // or whoever opens it will say
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

// checkKind refuses what is no file to replace.
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

// checkFree refuses a name that is taken.
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

// writeError words an error of the output.
func (t *target) writeError(err error) error {
	return fmt.Errorf("cannot write %s: %w", t.name, bareErr(err))
}

// finish syncs and closes the temporary file; commit gives it its name.
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

// commit gives the file its name and syncs the folder.
func (t *target) commit(force bool) error {
	if t.f == nil {
		return nil
	}
	// Between the check at the start and now someone may have taken the name.
	if err := checkFree(t.path, force); err != nil {
		return err
	}
	if !t.isAt(t.temp) {
		return t.writeError(errSwapped)
	}
	if err := os.Rename(t.temp, t.path); err != nil {
		return t.writeError(err)
	}
	if !t.isAt(t.path) {
		return t.writeError(errSwapped)
	}
	// Only now, since a resumed run requires that nobody else can open the part.
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

// errSwapped is a folder in which someone else exchanged our file for another.
var errSwapped = errors.New("someone else removed or exchanged its hidden part; write to a folder of your own")

// isAt says whether path names the file that was written.
func (t *target) isAt(path string) bool {
	ours, err := t.lock.Stat()
	there, err2 := os.Lstat(path)
	return err == nil && err2 == nil && os.SameFile(ours, there)
}

// discard removes the temporary file.
func (t *target) discard() {
	if t.temp != "" && !t.closed {
		if t.isAt(t.temp) {
			os.Remove(t.temp)
		}
		t.release()
	}
}

// abandon lets go of a part before anything was written to it: it stays if it is an
// interrupted run's.
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
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !isInvalid(err) {
		return err
	}
	return nil
}

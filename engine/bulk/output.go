package bulk

import (
	"errors"
	"fmt"
	"io"
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
	path   string // final name; "-" for standard output
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
		return &target{path: path, name: stdoutName, w: w}, nil
	}
	if err := checkFree(path, j.Force); err != nil {
		return nil, err
	}
	temp := tempName(path)
	mode := os.FileMode(0o600)
	if info != nil {
		mode = info.Mode() & 0o666
	}
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|nofollow, mode&0o600|0o200)
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", path, bareErr(err))
	}
	t := &target{path: path, temp: temp, name: path, lock: f}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot write %s: another run is writing it (%s)", path, temp)
	}
	// The run that held the lock may have given the file its name meanwhile.
	here, err := f.Stat()
	there, err2 := os.Lstat(temp)
	if err != nil || err2 != nil || !os.SameFile(here, there) {
		f.Close()
		return nil, fmt.Errorf("cannot write %s: another run has just written it", path)
	}
	if !keep {
		err = f.Truncate(0)
	}
	if err == nil {
		err = narrow(f, mode, info)
	}
	if err != nil {
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

// checkFree refuses a name that is taken.
func checkFree(path string, force bool) error {
	switch st, err := os.Lstat(path); {
	case err == nil && st.IsDir():
		return fmt.Errorf("%s: is a folder", path)
	case err == nil && !st.Mode().IsRegular() && st.Mode()&os.ModeSymlink == 0:
		return fmt.Errorf("%s: is no regular file; write to - and redirect", path)
	case err == nil && !force:
		return fmt.Errorf("%s: exists; --force overwrites it: %w", path, os.ErrExist)
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
	if err := os.Rename(t.temp, t.path); err != nil {
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

// discard removes the temporary file.
func (t *target) discard() {
	if t.temp != "" && !t.closed {
		os.Remove(t.temp)
		t.release()
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

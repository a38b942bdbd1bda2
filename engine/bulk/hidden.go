package bulk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Hidden files are those that a run keeps beside its outputs: the part that is being
// written, the journal, and what replaces it. Others may write to the folder, so a
// hidden file that is already there is never written through: it is removed and made
// anew, or, where its content matters, proved to be ours.

// errNotOwn is the reason why a hidden file that is there is not trusted.
var errNotOwn = errors.New("is not as a run of this user leaves it (a regular file, with one link, that only its owner can open); remove it to start from the beginning")

// checkOwn refuses a hidden file that someone else may have put there or can open.
func checkOwn(f *os.File, path string) error {
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, bareErr(err))
	}
	if !st.Mode().IsRegular() || !ownAlone(st) {
		return fmt.Errorf("%s %w", path, errNotOwn)
	}
	return nil
}

// readOwn reads a hidden file of at most limit bytes. The error is fs.ErrNotExist
// where there is none. A planted pipe does not block it.
func readOwn(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nofollow|nonblock, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%s %w", path, errNotOwn)
	}
	defer f.Close()
	if err := checkOwn(f, path); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, bareErr(err))
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s %w", path, errNotOwn)
	}
	return b, nil
}

// createOwn makes the hidden file path, which only its owner can open. What stands
// there is removed first.
func createOwn(path string) (*os.File, error) {
	for range 8 { // times that someone else was faster
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|nofollow, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fs.ErrExist
}

// errBusy says that another run holds the lock of a hidden file.
var errBusy = errors.New("another run is writing it")

// takePart returns the hidden part at path, locked: a new one, or with keep the one
// that an interrupted run of this user left, if there is one. A part that another run
// is writing is left alone, and the error is errBusy.
func takePart(path string, keep bool) (*os.File, error) {
	for range 8 {
		old, err := os.OpenFile(path, os.O_RDWR|nofollow|nonblock, 0)
		switch {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist) || isPlanted(path):
			f, err := createLocked(path)
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			return f, err
		default:
			return nil, err // a file of someone else, who may be writing it
		}
		taken, err := takeOld(old, path, keep)
		if taken || err != nil {
			if err != nil {
				old.Close()
				return nil, err
			}
			return old, nil
		}
		// It has been removed, or was ours to remove: another look.
		old.Close()
	}
	return nil, errBusy
}

// takeOld judges an opened part: taken says that it is the one to go on with.
func takeOld(old *os.File, path string, keep bool) (taken bool, err error) {
	st, err := old.Stat()
	if err != nil {
		return false, err
	}
	if !st.Mode().IsRegular() {
		return false, os.Remove(path)
	}
	if lockFile(old) != nil {
		return false, errBusy
	}
	// The run that held the lock may have given the file its name meanwhile.
	if there, err := os.Lstat(path); err != nil || !os.SameFile(st, there) {
		return false, nil
	}
	if keep {
		return true, checkOwn(old, path)
	}
	return false, os.Remove(path)
}

// createLocked makes the part and locks it.
func createLocked(path string) (*os.File, error) {
	f, err := createOwn(path)
	if err != nil {
		return nil, err
	}
	if lockFile(f) != nil {
		f.Close()
		return nil, errBusy
	}
	return f, nil
}

// isPlanted says whether something stands at path that no run makes: a link or a pipe.
// It may be removed without harm to anybody's run.
func isPlanted(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && !st.Mode().IsRegular() && !st.IsDir()
}

// openRegular opens a file for reading without waiting for the writer of a pipe, and
// refuses what is no regular file.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, plainPathError(err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: is no regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

package bulk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// A run keeps hidden files beside its outputs: the partial output, the journal and the
// journal's replacement. Other users may be able to write to the folder. An existing hidden
// file is therefore removed and created anew, or, where its content matters, accepted only
// if it is private to this user.

// errNotOwn is why an existing hidden file is not trusted.
var errNotOwn = errors.New("is not as a run of this user leaves it (a regular file, with one link, that only its owner can open); remove it to start from the beginning")

// checkOwn refuses a hidden file that another user may have created or can open.
func checkOwn(f *os.File, path string) error {
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, bareErr(err))
	}
	if !st.Mode().IsRegular() || !isPrivate(st) {
		return fmt.Errorf("%s %w", path, errNotOwn)
	}
	return nil
}

// readOwn reads a hidden file of at most limit bytes. The error is fs.ErrNotExist if there
// is none. A pipe of that name does not block it.
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

// createOwn creates the hidden file path, readable by its owner only. It removes an
// existing one first.
func createOwn(path string) (*os.File, error) {
	for range 8 { // another process may create it in between
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

// openPart opens and locks the partial output at path. With keep it returns the one that an
// interrupted run of this user left, if any, else a new one. The error is errBusy while
// another run is writing it.
func openPart(path string, keep bool) (*os.File, error) {
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
			return nil, err // owned by another user, who may be writing it
		}
		taken, err := claimPart(old, path, keep)
		if taken || err != nil {
			if err != nil {
				old.Close()
				return nil, err
			}
			return old, nil
		}
		// It was removed, by claimPart or by another run: try again.
		old.Close()
	}
	return nil, errBusy
}

// claimPart locks an existing partial output. taken reports that the run continues it; else
// it was removed.
func claimPart(old *os.File, path string, keep bool) (taken bool, err error) {
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
	// The run that held the lock may have renamed the file to its final name meanwhile.
	if there, err := os.Lstat(path); err != nil || !os.SameFile(st, there) {
		return false, nil
	}
	if keep {
		return true, checkOwn(old, path)
	}
	return false, os.Remove(path)
}

// createLocked creates the partial output and locks it.
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

// isPlanted reports whether path is something that no run creates, such as a link or a
// pipe. Removing it harms no run.
func isPlanted(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && !st.Mode().IsRegular() && !st.IsDir()
}

// openRegular opens a file for reading without waiting for the writer of a pipe, and
// refuses anything but a regular file.
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

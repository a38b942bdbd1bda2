// Package newfile writes files that are there whole or not at all: without a name, or
// where the system cannot do that under a temporary one in the same folder, for their
// owner alone, synced, and given their name at the end. A file that is there is never
// overwritten.
package newfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// File is a file that has no name yet. Its errors name the final path.
type File struct {
	*os.File
	path     string
	nameless bool // in no folder yet
	done     bool
}

// Create begins a file of mode 0600. Errors: fs.ErrExist if there is one at path.
func Create(path string) (*File, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w: it is not overwritten: name another file", path, fs.ErrExist)
	}
	if f := openNameless(filepath.Dir(path)); f != nil {
		return &File{File: f, path: path, nameless: true}, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return nil, err
	}
	return &File{File: f, path: path}, nil
}

// Commit syncs the file and gives it its name. On error it is discarded.
func (f *File) Commit() (err error) {
	defer func() {
		if err != nil {
			f.Discard()
		}
	}()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if f.nameless {
		err := name(f.File, f.path)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: %w: it is not overwritten: name another file", f.path, fs.ErrExist)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		f.done = true
		return errors.Join(f.Close(), syncDir(filepath.Dir(f.path)))
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	// A link fails where the name was taken meanwhile; rename would overwrite.
	if err := os.Link(f.Name(), f.path); err == nil {
		err = os.Remove(f.Name())
		f.done = true
		return errors.Join(err, syncDir(filepath.Dir(f.path)))
	} else if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w: it is not overwritten: name another file", f.path, fs.ErrExist)
	}
	if err := os.Rename(f.Name(), f.path); err != nil { // a file system without links
		return err
	}
	f.done = true
	return syncDir(filepath.Dir(f.path))
}

// Discard removes what was written, unless Commit gave it its name.
func (f *File) Discard() {
	if !f.done {
		f.done = true
		f.Close()
		if !f.nameless {
			os.Remove(f.Name())
		}
	}
}

// syncDir makes a new name in a folder durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

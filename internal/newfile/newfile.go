// Package newfile creates files atomically: a file is written without a name, or under a
// temporary name in the same folder if the system has no nameless files, with mode 0600,
// and is synced before it gets its name. An existing file is never overwritten.
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
	nameless bool // it has no name in a folder yet
	done     bool
}

// Create creates a file of mode 0600 that Commit will name path. It returns fs.ErrExist if
// path exists.
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

// Commit syncs the file and gives it its name. On error it discards the file.
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
	// A link fails if the name exists by now; a rename would overwrite it.
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

// Discard removes the file unless Commit has given it its name.
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

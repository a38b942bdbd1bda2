package audit

import (
	"fmt"
	"os"
	"path/filepath"
)

// AppendLine appends a line to a file of JSON objects beside a log and syncs it; the file
// is made if it is missing. Writers of several processes wait for each other. A line that
// a crash left torn is ended first, so that a reader can skip it. line has no line end.
func AppendLine(path string, line []byte) (err error) {
	f, err := openFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if err := lock(f); err != nil {
		return fmt.Errorf("locking %s: %w", path, err)
	}
	defer unlock(f)
	if st, err = f.Stat(); err != nil {
		return err
	}
	var out []byte
	if last := []byte{0}; st.Size() > 0 {
		if _, err := f.ReadAt(last, st.Size()-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			out = append(out, '\n')
		}
	}
	out = append(append(out, line...), '\n')
	if _, err := f.Write(out); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", path, err)
	}
	if st.Size() == 0 {
		return syncDir(filepath.Dir(path))
	}
	return nil
}

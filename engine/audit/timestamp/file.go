package timestamp

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/velonym/velonym/engine/audit"
)

// Entry is a line of the file of time-stamps.
type Entry struct {
	Seq      uint64    `json:"seq"`       // of the head
	Digest   string    `json:"head"`      // of the head
	HeadTime string    `json:"head_time"` // of the head
	Time     time.Time `json:"time"`      // of the stamp, as the token states it
	TSA      string    `json:"tsa"`       // scheme and host
	Token    []byte    `json:"token"`     // TimeStampToken in DER, base64
}

// Path returns the name of the file of time-stamps of the log at path.
func Path(path string) string { return path + ".timestamps" }

// head returns the head that was stamped, without its signature.
func (e *Entry) head() *audit.Head {
	return &audit.Head{Seq: e.Seq, Digest: e.Digest, Time: e.HeadTime}
}

// Message returns the bytes that were stamped.
func (e *Entry) Message() []byte { return e.head().Message() }

// Verify verifies the entry's token: see [Verify].
func (e *Entry) Verify(roots *x509.CertPool) (Stamp, error) {
	return Verify(e.Token, e.Message(), roots)
}

// Append appends an entry to the file at path and syncs it. A line that a crash left torn
// is ended first; Read skips it.
func Append(path string, e Entry) (err error) {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("time-stamps: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("time-stamps: %w", err)
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("time-stamps: %w", e)
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("time-stamps: %w", err)
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("time-stamps: %s is not a regular file", path)
	}
	var out []byte
	if last := []byte{0}; st.Size() > 0 {
		if _, err := f.ReadAt(last, st.Size()-1); err != nil {
			return fmt.Errorf("time-stamps: %w", err)
		}
		if last[0] != '\n' {
			out = append(out, '\n')
		}
	}
	out = append(append(out, line...), '\n')
	if _, err := f.Write(out); err != nil {
		return fmt.Errorf("time-stamps: writing %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("time-stamps: syncing %s: %w", path, err)
	}
	return nil
}

// Read reads a file of time-stamps without verifying them; a missing file has none. It
// skips lines that a crash left torn.
func Read(path string) (list []Entry, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("time-stamps: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 2*maxResponse)
	for lines.Scan() {
		var e Entry
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Seq > 0 {
			list = append(list, e)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("time-stamps: reading %s: %w", path, err)
	}
	return list, nil
}

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

// Append appends an entry to the file at path: see [audit.AppendLine].
func Append(path string, e Entry) error {
	line, err := json.Marshal(e)
	if err == nil {
		err = audit.AppendLine(path, line)
	}
	if err != nil {
		return fmt.Errorf("time-stamps: %w", err)
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

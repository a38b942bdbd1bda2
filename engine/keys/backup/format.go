package backup

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"
)

const magic = "velonym backup 1\n"

// Header is the part of a backup that is never encrypted.
type Header struct {
	Made time.Time `json:"made"` // by the keystore's clock
	// Database is set if that was a database server's clock, from which the times of
	// audit records, made by other machines, can differ.
	Database bool              `json:"database,omitempty"`
	Schema   int               `json:"schema"`
	Change   uint64            `json:"change"`  // the store's change counter
	Sealed   bool              `json:"sealed"`  // encrypted to age recipients
	Store    ed25519.PublicKey `json:"store"`   // receipt key of the keystore, which signed the file
	Program  string            `json:"program"` // version that made it
}

// trailer is the last line.
type trailer struct {
	Bytes     int64  `json:"bytes"` // before the line
	SHA256    string `json:"sha256"`
	Signature []byte `json:"sig"` // of signedText(SHA256)
}

// maxTrailer bounds the last line.
const maxTrailer = 1024

// signed is the text that the signature is over.
func signedText(digest string) []byte { return []byte(magic + digest + "\n") }

// ErrDamaged is returned for a file that is not a complete backup.
var ErrDamaged = errors.New("backup: damaged")

func damaged(path, why string) error {
	return fmt.Errorf("%w: %s: %s: use another copy", ErrDamaged, path, why)
}

// digestWriter counts and hashes what is written through it.
type digestWriter struct {
	w   io.Writer
	n   int64
	sum hash.Hash
}

func (d *digestWriter) Write(b []byte) (int, error) {
	n, err := d.w.Write(b)
	d.n += int64(n)
	d.sum.Write(b[:n])
	return n, err
}

// file is an open backup whose checksum and signature are valid.
type file struct {
	Header
	f    *os.File
	body io.Reader // the rows
	sum  string
}

// openFile opens a backup and checks its checksum and signature. The caller closes f.
func openFile(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	b, err := readFile(path, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return b, nil
}

func readFile(path string, f *os.File) (*file, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("backup: %s is not a regular file", path)
	}
	tail := make([]byte, min(maxTrailer, st.Size()))
	if _, err := f.ReadAt(tail, st.Size()-int64(len(tail))); err != nil {
		return nil, fmt.Errorf("backup: reading %s: %w", path, err)
	}
	head := make([]byte, min(int64(len(magic)), st.Size()))
	if _, err := f.ReadAt(head, 0); err != nil || string(head) != magic {
		return nil, damaged(path, "it does not begin as a backup does")
	}
	at := bytes.LastIndexByte(tail[:max(0, len(tail)-1)], '\n')
	var t trailer
	if at < 0 || tail[len(tail)-1] != '\n' || json.Unmarshal(tail[at+1:], &t) != nil {
		return nil, damaged(path, "its end is missing: it was cut off, or is still being copied")
	}
	size := st.Size() - int64(len(tail)-at-1)
	if t.Bytes != size {
		return nil, damaged(path, fmt.Sprintf("it has %d bytes where its end says %d", size, t.Bytes))
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size)); err != nil {
		return nil, fmt.Errorf("backup: reading %s: %w", path, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != t.SHA256 {
		return nil, damaged(path, "its checksum does not fit")
	}
	r := bufio.NewReader(io.NewSectionReader(f, int64(len(magic)), size-int64(len(magic))-1)) // the line end before the trailer
	line, err := r.ReadSlice('\n')
	b := &file{f: f, body: r, sum: t.SHA256}
	if err != nil || json.Unmarshal(line, &b.Header) != nil {
		return nil, damaged(path, "its header cannot be read")
	}
	if len(b.Store) != ed25519.PublicKeySize || !ed25519.Verify(b.Store, signedText(t.SHA256), t.Signature) {
		return nil, damaged(path, "its signature does not fit")
	}
	return b, nil
}

// Is reports whether r begins as a backup does.
func Is(r io.Reader) bool {
	head := make([]byte, len(magic))
	_, err := io.ReadFull(r, head)
	return err == nil && string(head) == magic
}

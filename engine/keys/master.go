package keys

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/aes"
)

// MasterKey wraps the secrets of a keystore. It is safe for concurrent use. The key is
// only in key memory: locked, outside the heap, and excluded from core dumps.
type MasterKey struct {
	mu          sync.RWMutex
	block       *aes.Block // key schedule; the key bytes are wiped
	aead        cipher.AEAD
	fingerprint string
	source      string    // where to read it again; "" if it came from the environment, which is read once
	lastReload  time.Time // when the source was last read again
}

// Close wipes the key. No keystore may be using it.
func (m *MasterKey) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.block != nil {
		m.block.Release()
		m.block = nil
	}
}

// Fingerprint returns the key's fingerprint: see [Fingerprint].
func (m *MasterKey) Fingerprint() string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.fingerprint
}

// replace moves the key of n to m and closes n.
func (m *MasterKey) replace(n *MasterKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	m.block.Release()
	m.block, m.aead, m.fingerprint, m.source = n.block, n.aead, n.fingerprint, n.source
	n.block = nil
}

// execTimeout bounds how long an exec: source may take.
const execTimeout = 30 * time.Second

// maxKeySource is the largest number of bytes read from the source of a master key.
const maxKeySource = 4096

// newMasterKey makes a master key of the 32 bytes of k and wipes them.
func newMasterKey(k []byte) (*MasterKey, error) {
	defer wipe(k)
	if len(k) != SecretSize {
		return nil, fmt.Errorf("%w: need 32 bytes", ErrMasterKey)
	}
	fingerprint := Fingerprint(KindMasterKey, k)
	block, err := aes.New(k)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMasterKey, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		block.Release()
		return nil, fmt.Errorf("%w: AES-256-GCM is not available: %w", ErrMasterKey, err)
	}
	return &MasterKey{block: block, aead: aead, fingerprint: fingerprint}, nil
}

// NewMasterKeyFile writes a random master key to a new file of mode 0600, as 64
// hexadecimal digits, and syncs it. It never overwrites: if the path exists it returns
// ErrKeystoreExists.
func NewMasterKeyFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: master key file %s: choose another directory, or keep using this key", ErrKeystoreExists, path)
	}
	if err != nil {
		return fmt.Errorf("keys: making the master key file: %w", err)
	}
	var k [SecretSize]byte
	rand.Read(k[:])
	text := make([]byte, 2*SecretSize+1)
	hex.Encode(text, k[:])
	text[2*SecretSize] = '\n'
	wipe(k[:])
	_, err = f.Write(text)
	wipe(text)
	if err == nil {
		// A umask that removes the owner's read bit would make a key file that
		// nobody can load.
		err = f.Chmod(0o600)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		os.Remove(path)
		return fmt.Errorf("keys: writing the master key file: %w", err)
	}
	return nil
}

// syncDir syncs a directory, which makes new names in it durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}

// LoadMasterKey reads the master key from a source:
//
//	PATH          a file that only its owner can read, or a systemd credential
//	              (mode 0440, in the folder that CREDENTIALS_DIRECTORY names)
//	env:NAME      an environment variable. It is unset after reading, and on Linux
//	              overwritten in the process's environment block. It is weaker
//	              than the other sources: the parent process has the key too
//	exec:COMMAND  the standard output of a command, run by the shell. It has 30
//	              seconds; its standard error is discarded
//
// The key is 64 hexadecimal digits, with white space around them allowed, or, from a file
// or a command, exactly 32 bytes. Errors are ErrMasterKey and never contain what was read.
func LoadMasterKey(ctx context.Context, source string) (*MasterKey, error) {
	var raw []byte
	var err error
	text := false
	switch {
	case strings.HasPrefix(source, "env:"):
		text = true
		name := source[len("env:"):]
		v, ok := os.LookupEnv(name)
		if !ok || name == "" {
			return nil, fmt.Errorf("%w: environment variable %q is not set: set it to 64 hexadecimal digits", ErrMasterKey, name)
		}
		raw = []byte(v)
		os.Unsetenv(name)
		eraseEnv(name, v)
	case strings.HasPrefix(source, "exec:"):
		raw, err = runKeyCommand(ctx, source[len("exec:"):])
	case source == "":
		return nil, fmt.Errorf("%w: no source given: name a file, env:NAME or exec:COMMAND", ErrMasterKey)
	case looksLikeKey([]byte(strings.TrimSpace(source))):
		// The error must not repeat the source.
		return nil, fmt.Errorf("%w: the source is a key itself, not where one is: name a file, env:NAME or exec:COMMAND; what was typed may be in a shell's history by now", ErrMasterKey)
	default:
		raw, err = readKeyFile(source)
	}
	defer wipe(raw)
	if err != nil {
		return nil, err
	}
	var k [SecretSize]byte
	defer wipe(k[:])
	trimmed := bytes.TrimSpace(raw)
	switch {
	case len(raw) == SecretSize && !text:
		copy(k[:], raw)
	case len(trimmed) == 2*SecretSize:
		if _, err := hex.Decode(k[:], trimmed); err != nil {
			// The error of package hex contains the offending byte, so it is not wrapped.
			return nil, fmt.Errorf("%w: %s: a character is not a hexadecimal digit", ErrMasterKey, sourceName(source))
		}
	default:
		return nil, fmt.Errorf("%w: %s gave %d bytes: need 64 hexadecimal digits", ErrMasterKey, sourceName(source), len(trimmed))
	}
	m, err := newMasterKey(k[:])
	if err == nil && !text {
		m.source = source
	}
	return m, err
}

// eraseEnv overwrites both copies of an environment variable in this process: the
// runtime's, which nothing refers to once the variable is unset, and that in the
// environment block, which the system shows to other processes.
func eraseEnv(name, value string) {
	if value == "" {
		return
	}
	// The runtime copied the value to the heap at start-up, so it is writable.
	wipe(unsafe.Slice(unsafe.StringData(value), len(value)))
	eraseEnvBlock(name)
}

// looksLikeKey reports whether text has the form of a key.
func looksLikeKey(text []byte) bool {
	var k [SecretSize]byte
	defer wipe(k[:])
	_, err := hex.Decode(k[:], text[:min(len(text), 2*SecretSize)])
	return err == nil && len(text) == 2*SecretSize
}

// sourceName returns a source for error texts, without the text of a command, which may
// contain credentials.
func sourceName(source string) string {
	if strings.HasPrefix(source, "exec:") {
		return "the exec: command"
	}
	return source
}

// isCredential reports whether a file is a credential that systemd gave to this service.
// Credentials have mode 0440 in a folder that other users cannot enter.
func isCredential(path string) bool {
	folder := os.Getenv("CREDENTIALS_DIRECTORY")
	if folder == "" || !filepath.IsAbs(folder) {
		return false
	}
	st, err := os.Stat(folder)
	return err == nil && st.Mode().Perm()&0o007 == 0 && filepath.Dir(filepath.Clean(path)) == filepath.Clean(folder)
}

func readKeyFile(path string) ([]byte, error) {
	// Opening a named pipe could block for ever.
	st, err := os.Stat(path)
	if err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrMasterKey, path)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: %w: run as the user who owns it", ErrMasterKey, err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no file %s: restore it from your backup, or name the file, env:NAME or exec:COMMAND that the keystore was made with; secrets cannot be read without it", ErrMasterKey, path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMasterKey, err)
	}
	defer f.Close()
	st, err = f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMasterKey, err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrMasterKey, path)
	}
	if perm := st.Mode().Perm(); runtime.GOOS != "windows" && perm&0o077 != 0 && !(perm&0o037 == 0 && isCredential(path)) {
		return nil, fmt.Errorf("%w: %s is open to others than its owner (mode %04o): run chmod 600 on it, and consider whether the key was read", ErrMasterKey, path, perm)
	}
	raw := make([]byte, maxKeySource)
	n, err := io.ReadFull(f, raw)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		wipe(raw)
		return nil, fmt.Errorf("%w: reading %s: %w", ErrMasterKey, path, err)
	}
	return raw[:n], nil
}

package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// ErrTombstones is returned for a tombstone file that cannot be read or written, or that
// is not as the keystore left it.
var ErrTombstones = errors.New("backup: tombstones")

// tombstoneLine is one line of the tombstone file.
type tombstoneLine struct {
	V         int                  `json:"v"` // 1
	Time      time.Time            `json:"time"`
	Mark      keys.Mark            `json:"mark"` // state of the store that the file covers
	Receipts  []keys.Receipt       `json:"receipts,omitempty"`
	Revoked   []revokedToken       `json:"revoked,omitempty"`
	Rules     []revocationRule     `json:"rules,omitempty"`
	Shortened map[string]time.Time `json:"shortened,omitempty"`
	Prev      string               `json:"prev"` // SHA-256 of the line before
	Key       ed25519.PublicKey    `json:"key"`
	Signature []byte               `json:"sig,omitempty"` // of tombstoneText and the line without it
}

type revokedToken struct {
	JTI     []byte    `json:"jti"`
	Expires time.Time `json:"exp,omitzero"`
}

type revocationRule struct {
	Issuer  string    `json:"iss,omitempty"`
	Project string    `json:"prj,omitempty"`
	Before  time.Time `json:"before"`
}

const tombstoneText = "velonym tombstones 1\n"

// maxLineEntries bounds the entries of each kind in a line.
const maxLineEntries = 1000

func (s tombstoneLine) statement() ([]byte, error) {
	s.Signature = nil
	b, err := json.Marshal(s)
	return append([]byte(tombstoneText), b...), err
}

// Note appends to the tombstone file at path what the keystore destroyed and revoked since
// the file's last line, and the retentions that were shortened (new end by project). It
// creates the file if there is none. Several processes may call it at the same time.
// Errors: ErrOlder, ErrTombstones, and those of the keystore.
func Note(ctx context.Context, ks *keys.Keystore, path string, shortened map[string]time.Time) (err error) {
	first := tombstoneLine{Shortened: shortened}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTombstones, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	unlock, err := lockFile(f)
	if err != nil {
		return fmt.Errorf("%w: locking %s: %w", ErrTombstones, path, err)
	}
	defer unlock()
	last, prev, torn, err := lastLine(path, f)
	if err != nil {
		return err
	}
	if err := checkLast(ctx, ks, path, last); err != nil {
		return err
	}
	since := last.Mark
	t, now, err := ks.Tombstones(ctx, since)
	if err != nil {
		return err
	}
	if len(t.Receipts)+len(t.Revoked)+len(t.Rules)+len(first.Shortened) == 0 && last.V != 0 {
		return nil
	}
	var out bytes.Buffer
	if torn {
		out.WriteByte('\n')
	}
	for _, s := range splitLines(t, first) {
		s.V, s.Time, s.Mark, s.Prev = 1, time.Now().UTC().Truncate(time.Second), since, prev
		if s.last {
			s.Mark = now
		}
		line, err := sign(ctx, ks, s.tombstoneLine)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(line)
		prev = hex.EncodeToString(sum[:])
		out.Write(line)
		out.WriteByte('\n')
	}
	if _, err := f.Write(out.Bytes()); err != nil {
		return fmt.Errorf("%w: writing %s: %w", ErrTombstones, path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%w: syncing %s: %w", ErrTombstones, path, err)
	}
	return nil
}

// ErrOlder is returned for a store that is older than its tombstones, because an older copy
// or snapshot replaced it.
var ErrOlder = errors.New("backup: KEYSTORE_OLDER")

// Check returns ErrOlder for a store that is older than the tombstones at path, and
// ErrTombstones if they belong to another store. Without tombstones it returns nil.
func Check(ctx context.Context, ks *keys.Keystore, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTombstones, err)
	}
	defer f.Close()
	last, _, _, err := lastLine(path, f)
	if err != nil {
		return err
	}
	return checkLast(ctx, ks, path, last)
}

// checkLast compares a store with the last line of its tombstones.
func checkLast(ctx context.Context, ks *keys.Keystore, path string, last tombstoneLine) error {
	if last.V == 0 {
		return nil
	}
	key, err := ks.ReceiptKey(ctx)
	if err != nil {
		return err
	}
	if !last.Key.Equal(key) {
		return fmt.Errorf("%w: %s is of another keystore: name the folder of the one that is meant, or move the file away", ErrTombstones, path)
	}
	now, err := ks.Mark(ctx)
	if err != nil {
		return err
	}
	if last.Mark.Epoch == now.Epoch && last.Mark.Change > now.Change || last.Mark.Epoch != now.Epoch && now.Epoch == "" {
		return fmt.Errorf("%w: this keystore is older than %s, which knows what was destroyed or revoked up to %s: an older copy was put in its place, which would bring that back: move it away, with its -wal and -shm, and put the newest one back, or put the older one into a folder of its own, make a backup there, and restore that here ('velonym help restore')",
			ErrOlder, path, last.Time.Format(time.RFC3339))
	}
	return nil
}

func sign(ctx context.Context, ks *keys.Keystore, s tombstoneLine) ([]byte, error) {
	var err error
	if s.Key, err = ks.ReceiptKey(ctx); err != nil {
		return nil, err
	}
	text, err := s.statement()
	if err != nil {
		return nil, err
	}
	if s.Signature, _, err = ks.Sign(ctx, text); err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// linePart is one of several lines that are written together.
type linePart struct {
	tombstoneLine
	last bool // only the last line has the new mark: after a crash all are written again
}

// splitLines divides tombstones into lines.
func splitLines(t keys.Tombstones, first tombstoneLine) (out []linePart) {
	for {
		s := linePart{tombstoneLine: first}
		first = tombstoneLine{}
		n := min(maxLineEntries, len(t.Receipts))
		s.Receipts, t.Receipts = t.Receipts[:n], t.Receipts[n:]
		n = min(maxLineEntries, len(t.Revoked))
		for _, r := range t.Revoked[:n] {
			s.Revoked = append(s.Revoked, revokedToken{[]byte(r.JTI), r.Expires})
		}
		t.Revoked = t.Revoked[n:]
		n = min(maxLineEntries, len(t.Rules))
		for _, r := range t.Rules[:n] {
			s.Rules = append(s.Rules, revocationRule{r.Issuer, r.Project, r.Before})
		}
		t.Rules = t.Rules[n:]
		s.last = len(t.Receipts)+len(t.Revoked)+len(t.Rules) == 0
		out = append(out, s)
		if s.last {
			return out
		}
	}
}

// lastLine returns the last complete line of the file, the zero line if there is none, and
// its digest. torn reports that an incomplete line follows it.
func lastLine(path string, f *os.File) (last tombstoneLine, prev string, torn bool, err error) {
	st, err := f.Stat()
	if err != nil {
		return last, "", false, fmt.Errorf("%w: %w", ErrTombstones, err)
	}
	for back := int64(64 << 10); ; back *= 4 {
		back = min(back, st.Size())
		b := make([]byte, back)
		if _, err := f.ReadAt(b, st.Size()-back); err != nil && back > 0 {
			return last, "", false, fmt.Errorf("%w: reading %s: %w", ErrTombstones, path, err)
		}
		end := bytes.LastIndexByte(b, '\n')
		torn = end < len(b)-1
		for end >= 0 { // skips lines that a crash left torn
			start := bytes.LastIndexByte(b[:end], '\n')
			if start < 0 && back < st.Size() {
				break
			}
			line := b[start+1 : end]
			if json.Unmarshal(line, &last) == nil && last.V == 1 {
				sum := sha256.Sum256(line)
				return last, hex.EncodeToString(sum[:]), torn, nil
			}
			end = start
		}
		if back == st.Size() {
			return tombstoneLine{}, "", torn, nil
		}
	}
}

// Read reads tombstone files. It checks that each line is signed by key, the one of the
// backup's keystore, and that no line is missing between others. until is the time of the
// last line, zero if there is none. Errors: fs.ErrNotExist, ErrTombstones.
func Read(key ed25519.PublicKey, paths ...string) (t keys.Tombstones, until time.Time, err error) {
	t.Shortened = map[string]time.Time{}
	for _, path := range paths {
		if err := read(&t, &until, key, path); err != nil {
			return t, until, err
		}
	}
	return t, until, nil
}

func read(t *keys.Tombstones, until *time.Time, key ed25519.PublicKey, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTombstones, err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	prev := ""
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return nil // an incomplete last line is torn by a crash
		}
		if err != nil {
			return fmt.Errorf("%w: reading %s: %w", ErrTombstones, path, err)
		}
		line = line[:len(line)-1]
		var s tombstoneLine
		if json.Unmarshal(line, &s) != nil {
			continue // torn by a crash: the next line follows the one before it
		}
		text, err := s.statement()
		if err != nil || s.V != 1 || !s.Key.Equal(key) || !ed25519.Verify(key, text, s.Signature) {
			return fmt.Errorf("%w: %s: line %d is not signed by the keystore that the backup is of: is it the right file?", ErrTombstones, path, n)
		}
		if s.Prev != prev {
			return fmt.Errorf("%w: %s: line %d does not follow the one before it: lines are missing", ErrTombstones, path, n)
		}
		sum := sha256.Sum256(line)
		prev = hex.EncodeToString(sum[:])
		s.addTo(t)
		if s.Time.After(*until) {
			*until = s.Time
		}
	}
}

func (s *tombstoneLine) addTo(t *keys.Tombstones) {
	t.Receipts = append(t.Receipts, s.Receipts...)
	for _, r := range s.Revoked {
		t.Revoked = append(t.Revoked, keys.Revocation{JTI: string(r.JTI), Expires: r.Expires})
	}
	for _, r := range s.Rules {
		t.Rules = append(t.Rules, keys.RevocationRule{Issuer: r.Issuer, Project: r.Project, Before: r.Before})
	}
	for name, end := range s.Shortened {
		if old, ok := t.Shortened[name]; !ok || end.Before(old) {
			t.Shortened[name] = end
		}
	}
}

package keys

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"github.com/velonym/velonym/engine/kernel/secmem"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const someKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

func write(t *testing.T, mode os.FileMode, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// opens says whether a master key is the one of someKey, by a blob that was
// sealed with the standard library alone.
func opens(t *testing.T, mk *MasterKey) bool {
	t.Helper()
	raw, err := hex.DecodeString(someKey)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := []byte("twelve bytes")
	ad := "velonym keystore 1" + "\x00\x0ageneration" + "\x00\x01p" + "\x00\x03org" + "\x07"
	blob := aead.Seal(nonce, nonce, []byte("secret"), []byte(ad))
	out, err := mk.unwrap(nil, blob, purposeSecret, Domain{"p", "org"}, 7)
	return err == nil && string(out) == "secret"
}

func TestMasterKeySources(t *testing.T) {
	ctx := t.Context()
	raw, _ := hex.DecodeString(someKey)
	t.Setenv("VELONYM_TEST_MASTER", " "+strings.ToUpper(someKey)+"\n")
	for what, source := range map[string]string{
		"hex file":           write(t, 0o600, someKey+"\n"),
		"hex file, no end":   write(t, 0o400, someKey),
		"CRLF":               write(t, 0o600, someKey+"\r\n"),
		"raw file":           write(t, 0o600, string(raw)),
		"environment":        "env:VELONYM_TEST_MASTER",
		"command":            "exec:echo noise >&2; printf %s " + someKey,
		"command, raw bytes": `exec:printf '\000\001\002\003\004\005\006\007\010\011\012\013\014\015\016\017\020\021\022\023\024\025\026\027\030\031\032\033\034\035\036\037'`,
	} {
		mk, err := LoadMasterKey(ctx, source)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else if !opens(t, mk) {
			t.Errorf("%s: the master key opens nothing that the first one sealed", what)
		}
	}
	if _, ok := os.LookupEnv("VELONYM_TEST_MASTER"); ok {
		t.Error("the variable is still set after reading")
	}
}

// TestMasterKeyRefused checks the errors of wrong sources and keys, which never hold the key.
func TestMasterKeyRefused(t *testing.T) {
	ctx := t.Context()
	t.Setenv("VELONYM_TEST_SHORT", someKey[:62])
	t.Setenv("VELONYM_TEST_RAW", "0123456789abcdef0123456789abcdef")
	dir := t.TempDir()
	for what, c := range map[string]struct{ source, says string }{
		"none":               {"", "no source"},
		"missing file":       {filepath.Join(dir, "none"), "restore it from your backup"},
		"folder":             {dir, "not a regular file"},
		"group":              {write(t, 0o640, someKey), "chmod 600"},
		"others":             {write(t, 0o604, someKey), "chmod 600"},
		"group may write":    {write(t, 0o620, someKey), "chmod 600"},
		"empty file":         {write(t, 0o600, ""), "64 hexadecimal digits"},
		"63 digits":          {write(t, 0o600, someKey[:63]), "64 hexadecimal digits"},
		"65 digits":          {write(t, 0o600, someKey+"0"), "64 hexadecimal digits"},
		"two keys":           {write(t, 0o600, someKey+"\n"+someKey+"\n"), "64 hexadecimal digits"},
		"not hex":            {write(t, 0o600, someKey[:63]+"g"), "not a hexadecimal digit"},
		"unset variable":     {"env:VELONYM_TEST_UNSET", "not set"},
		"no variable":        {"env:", "not set"},
		"short variable":     {"env:VELONYM_TEST_SHORT", "64 hexadecimal digits"},
		"raw variable":       {"env:VELONYM_TEST_RAW", "64 hexadecimal digits"},
		"the key itself":     {someKey, "is a key itself"},
		"the key, spaces":    {" " + strings.ToUpper(someKey) + "\n", "is a key itself"},
		"no command":         {"exec:", "without a command"},
		"failing command":    {"exec:echo " + someKey + "; echo " + someKey + " >&2; exit 3", "exit status 3"},
		"unknown command":    {"exec:/nonexistent/" + someKey, "run it by hand"},
		"silent command":     {"exec:true", "64 hexadecimal digits"},
		"talkative command":  {"exec:while :; do echo " + someKey + "; done", ""},
		"one byte too many":  {"exec:printf %s x" + someKey, "64 hexadecimal digits"},
		"not hex by command": {"exec:printf %s " + someKey[:63] + "z", "not a hexadecimal digit"},
	} {
		_, err := LoadMasterKey(ctx, c.source)
		if !errors.Is(err, ErrMasterKey) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", what, err)
			continue
		}
		for _, part := range []string{someKey[:62], someKey[:16], "0123456789abcdef0"} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error holds the key: %v", what, err)
			}
		}
	}
}

// TestMasterKeyCommandEndsWithItsContext checks that a command that hangs is killed, although a
// grandchild keeps its output open.
func TestMasterKeyCommandEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	// A grandchild process keeps the pipe open.
	_, err := LoadMasterKey(ctx, "exec:sleep 600 & sleep 600")
	if !errors.Is(err, ErrMasterKey) || !strings.Contains(err.Error(), "in time") {
		t.Error(err)
	}
}

// TestNewMasterKeyFile checks the mode and content of a new file, and that no existing file is
// overwritten, also not through a link.
func TestNewMasterKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	if err := NewMasterKeyFile(path); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && st.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode())
	}
	first, err := os.ReadFile(path)
	if err != nil || len(first) != 65 {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	if err := NewMasterKeyFile(path); !errors.Is(err, ErrKeystoreExists) {
		t.Errorf("over an existing one: %v", err)
	}
	if now, _ := os.ReadFile(path); !bytes.Equal(now, first) {
		t.Error("the key was overwritten")
	}
	other := path + "2"
	if err := NewMasterKeyFile(other); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.ReadFile(other); bytes.Equal(second, first) {
		t.Error("two keys are the same")
	}
	if err := NewMasterKeyFile(filepath.Join(path, "x")); err == nil {
		t.Error("created a key below a path that is a file")
	}
	if err := os.Symlink(filepath.Join(t.TempDir(), "target"), path+"3"); err == nil {
		if err := NewMasterKeyFile(path + "3"); !errors.Is(err, ErrKeystoreExists) {
			t.Errorf("through a dangling link: %v", err)
		}
	}
}

// TestAssociatedDataIsUnambiguous checks that different purposes, domains and generations have
// different associated data.
func TestAssociatedDataIsUnambiguous(t *testing.T) {
	seen := map[string]bool{}
	n := 0
	for _, purpose := range []string{"", "a", "generation", purposeCheck} {
		for _, prj := range []string{"", "a", "ab", "\x00\x01a", strings.Repeat("x", 255)} {
			for _, org := range []string{"", "a", "b", "b\x00", "\x00\x00"} {
				for gen := range 12 {
					seen[string(associated(purpose, Domain{prj, org}, gen))] = true
					n++
				}
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d different encodings for %d different inputs", len(seen), n)
	}
}

// TestWrapBindsItsContext checks that a wrapped secret opens only unchanged and only for its
// purpose, domain and generation.
func TestWrapBindsItsContext(t *testing.T) {
	raw, _ := hex.DecodeString(someKey)
	mk, err := newMasterKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, make([]byte, 32)) {
		t.Error("the bytes from which the key was made are not wiped")
	}
	secret := []byte("thirty-two bytes, all of them ok")
	d := Domain{"p", "o"}
	blob := mk.wrap(secret, purposeSecret, d, 3)
	if len(blob) != len(secret)+28 || bytes.Contains(blob, secret[:8]) {
		t.Errorf("the wrapped secret has %d bytes, want %d without the secret's own", len(blob), len(secret)+28)
	}
	if again := mk.wrap(secret, purposeSecret, d, 3); bytes.Equal(blob[:12], again[:12]) {
		t.Error("a nonce was used twice")
	}
	if out, err := mk.unwrap(nil, blob, purposeSecret, d, 3); err != nil || !bytes.Equal(out, secret) {
		t.Error(err)
	}
	for _, c := range []struct {
		purpose string
		d       Domain
		gen     int
	}{{purposeIssuer, d, 3}, {purposeSecret, Domain{"p", "x"}, 3}, {purposeSecret, Domain{"po", ""}, 3}, {purposeSecret, Domain{"o", "p"}, 3}, {purposeSecret, d, 4}} {
		if _, err := mk.unwrap(nil, blob, c.purpose, c.d, c.gen); err == nil {
			t.Errorf("the wrapped secret opens for %+v, want an error", c)
		}
	}
	for i := range blob {
		for bit := range 8 {
			blob[i] ^= 1 << bit
			if _, err := mk.unwrap(nil, blob, purposeSecret, d, 3); err == nil {
				t.Fatalf("the wrapped secret opens with bit %d of byte %d changed", bit, i)
			}
			blob[i] ^= 1 << bit
		}
		if _, err := mk.unwrap(nil, blob[:i], purposeSecret, d, 3); err == nil {
			t.Fatalf("the first %d bytes of the wrapped secret open", i)
		}
	}
}

func testKey(t *testing.T, b byte) *signingKey {
	t.Helper()
	key, err := newSigningKey(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(key.close)
	return key
}

// TestSigningKey checks that signatures equal those of crypto/ed25519, that the seed is wiped,
// and that a closed key leaves no key memory in use.
func TestSigningKey(t *testing.T) {
	before := secmem.Status().InUse
	for i := range 200 {
		seed := make([]byte, ed25519.SeedSize)
		secmem.Random(seed)
		theirs := ed25519.NewKeyFromSeed(seed)
		if !PublicKey(seed).Equal(theirs.Public()) {
			t.Fatal("PublicKey returns another key than crypto/ed25519 derives")
		}
		ours, err := newSigningKey(seed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(seed, make([]byte, len(seed))) {
			t.Fatal("the seed is not wiped")
		}
		message := bytes.Repeat([]byte{byte(i)}, i*i%3000)
		if !bytes.Equal(ours.public, theirs.Public().(ed25519.PublicKey)) || !bytes.Equal(ours.sign(message), ed25519.Sign(theirs, message)) {
			t.Fatalf("another signature of %d bytes", len(message))
		}
		ours.close()
		ours.close()
	}
	if now := secmem.Status().InUse; now != before {
		t.Errorf("%d bytes of key memory are left in use", now-before)
	}
}

func someReceipt(t *testing.T) (Receipt, ed25519.PublicKey) {
	t.Helper()
	key := testKey(t, 7)
	at := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
	r := Receipt{V: 1, Project: "Étude <1> & \u2028", Reason: ReasonRetention, Retention: &at, Destroyed: at, Imported: true,
		Orgs: []ReceiptOrg{{Org: "", Generations: []ReceiptGeneration{{Gen: 0, Created: at, Imported: true}, {Gen: 1, Created: at}}}, {Org: "b"}}}
	if err := r.sign(key); err != nil {
		t.Fatal(err)
	}
	return r, key.public
}

// TestReceiptVerifies checks a receipt with VerifyReceipt, in any layout of its JSON, and by the
// description in the documentation of Receipt.
func TestReceiptVerifies(t *testing.T) {
	r, pub := someReceipt(t)
	for _, trusted := range []ed25519.PublicKey{pub, nil} {
		if err := VerifyReceipt(r, trusted); err != nil {
			t.Error(err)
		}
	}
	doc, err := json.MarshalIndent(r, "", "\t") // the layout must not matter
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseReceipt(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifyReceipt(back, pub); err != nil {
		t.Error(err)
	}
	// Verify as the documentation of Receipt describes.
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	unsigned := r
	unsigned.Signature = nil
	if err := e.Encode(unsigned); err != nil {
		t.Fatal(err)
	}
	msg := "velonym destruction receipt 1\n" + strings.TrimSuffix(b.String(), "\n")
	if !ed25519.Verify(pub, []byte(msg), r.Signature) {
		t.Error("the signature does not cover the documented text")
	}
}

// TestReceiptRefused checks that changed receipts and other documents are refused.
func TestReceiptRefused(t *testing.T) {
	good, pub := someReceipt(t)
	another := testKey(t, 8)
	later := good.Destroyed.Add(time.Microsecond)
	for what, change := range map[string]func(*Receipt){
		"version":     func(r *Receipt) { r.V = 2 },
		"project":     func(r *Receipt) { r.Project += "x" },
		"reason":      func(r *Receipt) { r.Reason = ReasonSevered },
		"retention":   func(r *Receipt) { r.Retention = nil },
		"time":        func(r *Receipt) { r.Destroyed = later },
		"imported":    func(r *Receipt) { r.Imported = false },
		"org":         func(r *Receipt) { r.Orgs = r.Orgs[:1] },
		"generation":  func(r *Receipt) { r.Orgs = []ReceiptOrg{{Org: "", Generations: r.Orgs[0].Generations[:1]}, r.Orgs[1]} },
		"signature":   func(r *Receipt) { r.Signature = bytes.Clone(r.Signature); r.Signature[5] ^= 1 },
		"unsigned":    func(r *Receipt) { r.Signature = nil },
		"no key":      func(r *Receipt) { r.PublicKey = nil },
		"another key": func(r *Receipt) { r.PublicKey = another.public },
		"signed by another": func(r *Receipt) {
			if err := r.sign(another); err != nil {
				t.Fatal(err)
			}
		},
	} {
		r := good
		change(&r)
		if err := VerifyReceipt(r, pub); !errors.Is(err, ErrReceipt) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for _, doc := range []string{"", "{", "[]", `{"v":1} x`, `{"v":1}{}`, `{"v":1,"note":"added"}`, "null null"} {
		if _, err := ParseReceipt([]byte(doc)); !errors.Is(err, ErrReceipt) {
			t.Errorf("%q: got %v", doc, err)
		}
	}
}

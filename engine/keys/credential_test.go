package keys

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestMasterKeyCredential checks that a systemd credential, of mode 0440 in a folder that
// others cannot enter, is accepted as a master key, and other files of that mode are not.
func TestMasterKeyCredential(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("this system has no file modes")
	}
	folder := t.TempDir()
	key := func(dir string, mode os.FileMode) string {
		t.Helper()
		at := filepath.Join(dir, mode.String())
		if err := os.WriteFile(at, []byte(someKey), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at, mode); err != nil {
			t.Fatal(err)
		}
		return at
	}
	taken := func(what, source string, want bool) {
		t.Helper()
		mk, err := LoadMasterKey(t.Context(), source)
		if (err == nil) != want {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil {
			mk.Close()
		}
	}
	within := key(folder, 0o440)
	taken("no credentials folder is named", within, false)
	t.Setenv("CREDENTIALS_DIRECTORY", folder)
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	taken("a credential", within, true)
	taken("a credential that the group may write", key(folder, 0o460), false)
	taken("a credential open to others", key(folder, 0o444), false)
	taken("elsewhere", key(t.TempDir(), 0o440), false)
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	taken("in a folder that others can enter", within, false)
}

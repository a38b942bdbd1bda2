package keys

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestEnvErased checks that a master key read from the environment is overwritten in the block
// that the system shows, and that child processes do not get it.
func TestEnvErased(t *testing.T) {
	const name, child = "VELONYM_TEST_ENV_KEY", "VELONYM_TEST_ENV_CHILD"
	key := strings.Repeat("3b6e1d47", 8)
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestEnvErased$", "-test.v")
		cmd.Env = append(os.Environ(), name+"="+key, child+"=1", "AFTER=stays")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("PASS: TestEnvErased")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	mk, err := LoadMasterKey(t.Context(), "env:"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer mk.Close()
	block, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(block, []byte(key)) || !bytes.Contains(block, []byte("AFTER=stays")) || os.Getenv("AFTER") != "stays" {
		t.Errorf("the environment block holds %q", bytes.ReplaceAll(block, []byte(key), []byte("THE KEY")))
	}
	if v, there := os.LookupEnv(name); there || strings.Contains(strings.Join(os.Environ(), " "), key) {
		t.Errorf("%s is %d bytes long", name, len(v))
	}
	// The key works, because it was copied before the variable was erased.
	if out, err := mk.unwrap(nil, mk.wrap([]byte("x"), purposeCheck, Domain{}, 0), purposeCheck, Domain{}, 0); err != nil || string(out) != "x" {
		t.Error(err)
	}
	other, err := LoadMasterKey(t.Context(), keyFile(t, key))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if out, err := other.unwrap(nil, mk.wrap([]byte("x"), purposeCheck, Domain{}, 0), purposeCheck, Domain{}, 0); err != nil || string(out) != "x" {
		t.Errorf("the loaded key is not the one in the variable: %v", err)
	}
}

func keyFile(t *testing.T, key string) string {
	t.Helper()
	path := t.TempDir() + "/key"
	if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// canaries are identifying values in the data of these tests. They occur nowhere else.
var canaries = []string{"Zaunkoenig8675309", "7714503926118", "kolibri@voliere.example"}

// A part of a canary of minFragment bytes counts as a leak. Digits also occur in digests
// and times, so of those a part counts from minDigits on.
const (
	minFragment = 6
	minDigits   = 11
)

// fragments returns every part of the canaries, in clear, hexadecimal and base64.
func fragments(canaries []string) map[string]bool {
	all := map[string]bool{}
	for _, c := range canaries {
		shortest := minFragment
		if strings.Trim(c, "0123456789") == "" {
			shortest = minDigits
		}
		for i := 0; i+shortest <= len(c); i++ {
			p := c[i : i+shortest]
			if strings.Trim(p, "0123456789") == "" && len(p) < minDigits {
				continue
			}
			all[p], all[hex.EncodeToString([]byte(p))] = true, true
		}
		all[base64.StdEncoding.EncodeToString([]byte(c))[:12]] = true
	}
	return all
}

// findFragment returns a fragment that text contains.
func findFragment(text string, fragments map[string]bool) (string, bool) {
	for p := range fragments {
		if strings.Contains(text, p) {
			return p, true
		}
	}
	return "", false
}

// leakTest runs command lines in a folder with a keystore, and searches their output.
type leakTest struct {
	t       *testing.T
	dir     string
	secrets map[string]bool
	tried   int
}

func newLeakTest(t *testing.T) *leakTest {
	a := &leakTest{t: t, dir: t.TempDir(), secrets: fragments(canaries)}
	t.Setenv("VELONYM_DIR", filepath.Join(a.dir, "keys"))
	t.Chdir(a.dir)
	for _, args := range [][]string{{"init"}, {"project", "create", "demo", "--retention", "5y"}, {"project", "create", "tagged", "--tag", "128", "--retention", "5y"}} {
		if code, _, stderr := a.velonym(nil, args...); code != 0 {
			t.Fatalf("%v: %s", args, stderr)
		}
	}
	return a
}

// velonym runs a command line in this process.
func (a *leakTest) velonym(stdin []byte, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, bytes.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// try runs a command line, which may fail but must not print a canary.
func (a *leakTest) try(stdin []byte, args ...string) {
	a.t.Helper()
	a.tried++
	_, stdout, stderr := a.velonym(stdin, args...)
	for what, text := range map[string]string{"stdout": stdout, "stderr": stderr} {
		if p, ok := findFragment(text, a.secrets); ok {
			a.t.Errorf("velonym %s: %s shows %q:\n%s", strings.Join(args, " "), what, p, text)
		}
	}
}

// checkFiles searches audit records, manifests and hidden files for canaries, and removes the
// outputs.
func (a *leakTest) checkFiles() {
	a.t.Helper()
	err := filepath.WalkDir(a.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := d.Name()
		if strings.HasSuffix(name, "velonym-journal") || strings.HasSuffix(name, ".velonym.json") || strings.HasPrefix(name, "audit.jsonl") {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if p, ok := findFragment(string(b), a.secrets); ok {
				a.t.Errorf("%s shows %q", name, p)
			}
		}
		if strings.HasPrefix(name, "out.") || strings.HasPrefix(name, ".out.") {
			return os.Remove(path)
		}
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

// faultyFiles returns files with canaries, one for each way in which a file can be wrong.
func faultyFiles() map[string]string {
	v, n, m := canaries[0], canaries[1], canaries[2]
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("id,mail\n" + strings.Repeat(n+","+m+"\n", 500))) // a buffer takes everything
	_ = z.Close()
	return map[string]string{
		"good.csv":       "id,name,mail\n" + n + "," + v + "," + m + "\n",
		"headerless.csv": n + "," + v + "\n" + n + "," + v + "\n",
		"cr.csv":         "id,name\r" + n + "," + v + "\r",
		"ragged.csv":     "id,name\n" + n + "," + v + "\n" + n + "\n",
		"quote.csv":      "id,name\n\"" + n + "\"" + v + ",x\n",
		"open.csv":       "id,name\n\"" + n + "," + v + "\n",
		"bare.csv":       "id,name\n" + n + "\"" + v + ",x\n",
		"twice.csv":      "id,id\n" + n + "," + v + "\n",
		"again.csv":      "id,name\n" + n + "," + v + "\nid,name\n" + n + "," + v + "\n",
		"latin1.csv":     "id,name\n" + v + "\xe9,x\n",
		"control.csv":    "id,name\n" + v + "\x01,x\n",
		"long.csv":       "id,name\n" + strings.Repeat(v, 5000) + ",x\n",
		"sep.csv":        "sep=;\n" + n + ";" + v + "\n",
		"columns.csv":    v + "," + n + "," + m + "\n1,2,3\n",
		"lines.ndjson":   `{"id":"` + n + `","p":{"nr":"` + v + `"}}` + "\n" + `{"id":7714503926118,"p":"` + v + `"}` + "\n",
		"cut.ndjson":     `{"id":"` + n + `","name":"` + v + "\n",
		"key.ndjson":     `{"` + v + `":{"` + n + `":1}}` + "\n",
		"list.json":      `[{"id":"` + n + `"},{"id":["` + v + `"` + "\n",
		"text.json":      `"` + v + `"`,
		"cut.csv.gz":     packed.String()[:packed.Len()-6],
		"junk.csv.gz":    packed.String() + v,
		"bad.csv.zst":    "\x28\xb5\x2f\xfd" + v + n + m,
		"bad.parquet":    "PAR1" + v + n + m + "\x10\x00\x00\x00PAR1",
		"cut.parquet":    "PAR1" + v + n + m,
		"book.xlsx":      "PK\x03\x04" + v + n,
		"wide.csv":       "\xff\xfei\x00d\x00\n\x00" + v,
		"nul.csv":        "id,name\n" + v + "\x00" + n + ",x\n",
	}
}

// TestCanariesInFiles checks that no verb prints values of a file, whatever the verb
// expects in that file.
func TestCanariesInFiles(t *testing.T) {
	simdtest.Alone(t)
	a := newLeakTest(t)
	files := faultyFiles()
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, token, _ := a.velonym(nil, "token", "create", "--project", "demo", "--op", "pseudonymise", "--max", "1", "--ttl", "1h")
	if err := os.WriteFile("spent", []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	columns := [][]string{{"id"}, {"nope"}, {"1"}, {"#2"}, {"p.nr"}, {"id", "id.x"}, {"id", "id"}, {"id=good.csv"}}
	flags := [][]string{nil, {"--no-header"}, {"--header", "--ragged"}, {"--dry-run"}, {"--on-error", "null"}, {"--on-error", "keep", "--rejects", "out.rejects.csv"},
		{"--op", "reverse"}, {"--norm", "digits"}, {"--form", "digits"}, {"--form", "fpe:abcdefgh"}, {"--form", "uuid"}, {"--repeated-header", "value", "--again"}, {"--allow-missing", "--allow-other-shapes"},
		{"--resume"}, {"--part", "2/3"}, {"--json", "--manifest"}, {"--max-row", "8"}, {"--comma", ";"},
		{"--format", "csv"}, {"--format", "tsv"}, {"--format", "ndjson"}, {"--format", "json"}, {"--format", "parquet"}}
	for name, text := range files {
		out := "out." + strings.TrimPrefix(name, strings.SplitN(name, ".", 2)[0]+".")
		for i, cols := range columns {
			if i > 1 && testing.Short() {
				break
			}
			for k, more := range flags {
				// Each column without flags; with flags only a good column, in make soak a wrong one too.
				if k > 0 && (i > 0 && !longForm || i > 1 || testing.Short()) {
					continue
				}
				args := []string{"run", "--project", "demo", "-o", out, "--force"}
				for _, c := range cols {
					args = append(args, "--column", c)
				}
				args = append(args, more...)
				a.try(nil, append(args, name)...)
			}
			// Through a pipe, whose output contains the rest of the file and is not searched.
			if code, _, stderr := a.velonym([]byte(text), "run", "--project", "tagged", "--column", cols[0]); code != 0 {
				a.tried++
				if p, ok := findFragment(stderr, a.secrets); ok {
					t.Errorf("%s on standard input, column %s: shows %q:\n%s", name, cols[0], p, stderr)
				}
			}
		}
		for _, args := range [][]string{
			{"run", "--token-file", name, "--column", "id", "-o", out, "good.csv"},
			{"run", "--token-file", "spent", "--column", "id", "-o", out, name},
			{"run", "--check", name},
			{"run", "--project", "demo", "--column", "id", "--mapping", "out.map", "--mapping-recipient", name, "-o", out, name},
			{"token", "inspect", name}, {"token", "inspect", "--jwks", "iss=" + name, "--audience", "a", "spent"},
			{"audit", "verify", name}, {"audit", "verify", "--heads", name, name},
			{"selftest", "--vectors", name},
			{"project", "create", "imported", "--retention", "5y", "--import-secret", name},
			{"project", "list", "--master-key", name}, {"project", "list", "--keystore", name},
			{"serve", "--listen", "127.0.0.1:0", "--tls-cert", name, "--tls-key", name},
			{"serve", "--listen", "127.0.0.1:0", "--jwks", "iss=" + name, "--audience", "a"},
			{"bench", "http", "--url", "http://127.0.0.1:1", "--token-file", name},
		} {
			a.try(nil, args...)
		}
		a.checkFiles()
	}
	t.Logf("%d command lines over %d files, %d fragments searched", a.tried, len(files), len(a.secrets))
}

// eachVerb calls each for the verbs without subcommands, with their full names.
func eachVerb(cmd *cobra.Command, words []string, each func([]string, *cobra.Command)) {
	for _, c := range cmd.Commands() {
		eachVerb(c, append(words[:len(words):len(words)], c.Name()), each)
	}
	if len(words) > 0 && !cmd.HasSubCommands() {
		each(words, cmd)
	}
}

// TestCanariesInArguments checks that no verb prints a token or a password, in whichever
// argument it gets it.
func TestCanariesInArguments(t *testing.T) {
	simdtest.Alone(t)
	a := newLeakTest(t)
	_, token, _ := a.velonym(nil, "token", "create", "--project", "demo", "--op", "pseudonymise", "--ttl", "1h")
	token = strings.TrimSpace(token)
	parts := strings.Split(token, ".")
	const password = "Rohrsaenger/47?11&Haubentaucher#x"
	secrets := fragments([]string{password})
	for _, p := range parts { // skip the beginning, which is the same in every token
		for i := 12; i+16 <= len(p); i += 4 {
			secrets[p[i:i+16]] = true
		}
	}
	a.secrets = secrets
	places := []string{"postgres://velonym:" + password + "@127.0.0.1:1/db", "postgresql://velonym:" + password + "@127.0.0.1:1/db?sslmode=require",
		"host=127.0.0.1 port=1 user=velonym password='" + password + "' dbname=db", "postgres://velonym@127.0.0.1:1/db?password=" + password,
		"postgers://velonym:" + password + "@127.0.0.1:1/db"}
	urls := []string{"https://velonym:" + password + "@127.0.0.1:1", "http://127.0.0.1:" + password, "https://127.0.0.1:1/?token=" + password, "velonym:" + password + "@127.0.0.1"}
	if err := os.WriteFile("token", []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range urls {
		a.try([]byte("id\n1\n"), "run", "--token-file", "token", "--column", "id", "--server", url)
		a.try(nil, "token", "inspect", "--audience", "a", "--jwks", "iss="+url, "token")
		a.try(nil, "token", "inspect", "--audience", "a", "--jwks", url, "token")
		a.try(nil, "bench", "http", "--token-file", "token", "--url", url)
	}
	eachVerb(newRoot(&globals{}, nil), nil, func(words []string, cmd *cobra.Command) {
		if cmd.Name() == "help" || words[0] == "completion" {
			return
		}
		at := func(more ...string) []string { return append(words[:len(words):len(words)], more...) }
		a.try(nil, at(token)...)
		a.try(nil, at("x", token)...)
		a.try([]byte(token), at("--no-such-flag="+token)...)
		cmd.InheritedFlags() // adds the root's flags to cmd.Flags
		for _, set := range []string{"--dir", "--keystore", "--master-key", "--kernel"} {
			a.try(nil, at(set, token)...)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			a.try(nil, at("--"+f.Name, token)...)
			a.try(nil, at("--"+f.Name+"=NAME="+token)...)
		})
		if words[0] == "bench" || words[0] == "selftest" {
			return // these open no keystore and would start their work
		}
		for _, place := range places {
			a.try(nil, at("--keystore", place)...)
			a.try(nil, at("--keystore", place, "demo")...)
			a.try(nil, at("--project", place)...)
		}
	})
	for _, place := range places {
		t.Setenv("VELONYM_KEYSTORE", place)
		for _, args := range [][]string{{"project", "list"}, {"version", "--json"}, {"init"}, {"token", "create", "--project", "demo", "--op", "reverse"}, {"serve", "--listen", "127.0.0.1:0"}} {
			a.try(nil, args...)
		}
	}
	t.Logf("%d command lines, %d fragments searched", a.tried, len(a.secrets))
}

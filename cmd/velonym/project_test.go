package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/sqlite"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

var (
	timeJSON        = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+Z"`)
	fingerprintJSON = regexp.MustCompile(`"[0-9a-f]{4}(-[0-9a-f]{4}){3}"`)
	base64JSON      = regexp.MustCompile(`"[A-Za-z0-9+/]{43,86}=*"`)
)

// TestProjectJSON compares the JSON output of projects with the documented members.
func TestProjectJSON(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("VELONYM_DIR", filepath.Join(dir, "keys"))
	secret := strings.Repeat("3b6e1d47", 8)
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must := func(args ...string) string {
		t.Helper()
		status, stdout, stderr := velonym("", args...)
		if status != 0 {
			t.Fatalf("%q: %s", args, stderr)
		}
		return base64JSON.ReplaceAllString(fingerprintJSON.ReplaceAllString(timeJSON.ReplaceAllString(stdout, `"T"`), `"F"`), `"B"`)
	}
	must("init")
	if got := must("project", "list", "--json"); got != "[]\n" {
		t.Errorf("list without projects: %q, want []", got)
	}
	must("project", "create", "alpha", "--retention", "1y", "--org", "north", "--import-secret", file)
	must("project", "create", "beta", "--retention", "1y", "--form", "fpe:<&>")
	must("project", "create", "gamma", "--method", "irreversible")
	must("project", "rotate", "alpha")
	must("project", "sever", "beta", "--yes")
	const list = `[
  {
    "name": "alpha",
    "method": "reversible",
    "policy": "same",
    "format": "pair62",
    "tag": 0,
    "orgs": [
      "north"
    ],
    "retention": "T",
    "grace_seconds": 604800,
    "destroy_at": null,
    "sever_at": null,
    "rotate_every_seconds": 0,
    "rotate_at": null,
    "imported": true,
    "severed": false,
    "severed_at": null,
    "created": "T"
  },
  {
    "name": "beta",
    "method": "reversible",
    "policy": "same",
    "format": "fpe:<&>",
    "tag": 0,
    "orgs": [
      ""
    ],
    "retention": "T",
    "grace_seconds": 604800,
    "destroy_at": null,
    "sever_at": null,
    "rotate_every_seconds": 0,
    "rotate_at": null,
    "imported": false,
    "severed": true,
    "severed_at": "T",
    "created": "T"
  },
  {
    "name": "gamma",
    "method": "irreversible",
    "policy": "same",
    "format": "pair62",
    "tag": 0,
    "orgs": [
      ""
    ],
    "retention": null,
    "grace_seconds": 604800,
    "destroy_at": null,
    "sever_at": null,
    "rotate_every_seconds": 0,
    "rotate_at": null,
    "imported": false,
    "severed": false,
    "severed_at": null,
    "created": "T"
  }
]
`
	if got := must("project", "list", "--json"); got != list {
		t.Errorf("list:\n%s", got)
	}
	const alpha = `{
  "name": "alpha",
  "method": "reversible",
  "policy": "same",
  "format": "pair62",
  "tag": 0,
  "orgs": [
    "north"
  ],
  "retention": "T",
  "grace_seconds": 604800,
  "destroy_at": null,
  "sever_at": null,
  "rotate_every_seconds": 0,
  "rotate_at": null,
  "imported": true,
  "severed": false,
  "severed_at": null,
  "created": "T",
  "master_key": "F",
  "domains": [
    {
      "org": "north",
      "generations": [
        {
          "gen": 0,
          "state": "deactivated",
          "imported": true,
          "created": "T",
          "destroyed": null,
          "fingerprint": "F"
        },
        {
          "gen": 1,
          "state": "active",
          "imported": false,
          "created": "T",
          "destroyed": null,
          "fingerprint": "F"
        }
      ]
    }
  ]
}
`
	if got := must("project", "show", "alpha", "--json"); got != alpha {
		t.Errorf("show:\n%s", got)
	}
	got := must("project", "show", "beta", "--json")
	for _, want := range []string{`"state": "destroyed"`, `"destroyed": "T"`, `"receipts": [`, `"reason": "severed"`, `"signature": "B"`} {
		if !strings.Contains(got, want) {
			t.Errorf("show of a severed project lacks %s:\n%s", want, got)
		}
	}
}

// TestCommandSweeps checks that, without a server, the next command that changes the
// keystore destroys keys whose retention is over, once the time is observed.
func TestCommandSweeps(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("VELONYM_DIR", dir)
	if status, _, stderr := velonym("", "init"); status != 0 {
		t.Fatal(stderr)
	}
	// The project was created yesterday, and its retention ended an hour ago.
	yesterday := func() time.Time { return time.Now().Add(-24 * time.Hour) }
	master, err := keys.LoadMasterKey(t.Context(), filepath.Join(dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(filepath.Join(dir, "keystore.db"))
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keys.New(t.Context(), store, master, keys.WithClock(yesterday))
	if err != nil {
		t.Fatal(err)
	}
	err = ks.CreateProject(t.Context(), keys.Project{Name: "old", Method: "reversible", Policy: "same", Form: "hex", Retention: time.Now().Add(-time.Hour)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	// Verbs that only read destroy nothing.
	status, stdout, stderr := velonym("", "project", "list")
	if status != 0 || stderr != "" || !strings.Contains(stdout, "ended") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	status, stdout, stderr = velonym("", "project", "show", "old")
	if status != 0 || stderr != "" || !strings.Contains(stdout, "active") || !strings.Contains(stdout, "; ended") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	// The keystore was last used a day ago, so the day is unobserved and keys are kept.
	status, stdout, stderr = velonym("", "project", "create", "held", "--retention", "5y")
	if status != 0 || !strings.Contains(stderr, "project old: it has ended, and its keys are kept") && !strings.Contains(stderr, "project old: it has ended: nothing uses") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	status, stdout, stderr = velonym("", "project", "rotate", "held")
	if status != 0 || !strings.Contains(stderr, "project old: it has ended, and its keys are kept because") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	if status, stdout, stderr = velonym("", "key", "clock", "--accept"); status != 0 {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	status, stdout, stderr = velonym("", "project", "create", "new", "--retention", "5y")
	if status != 0 || !strings.Contains(stderr, "project old: its retention is over: keys destroyed") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	status, stdout, stderr = velonym("", "project", "list")
	if status != 0 || stderr != "" || !strings.Contains(stdout, "severed") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	status, stdout, stderr = velonym("", "project", "show", "old")
	if status != 0 || stderr != "" || !strings.Contains(stdout, "destroyed") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	status, stdout, stderr = velonym("", "token", "create", "--project", "old", "--op", "reverse")
	if status != 1 || stdout != "" || !strings.Contains(stderr, "destroyed") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// TestNames checks which names of projects are accepted: those that a listing can print.
func TestNames(t *testing.T) {
	for _, good := range []string{"a", "a b", "é", "高橋", "😀", "a/b", "-x", strings.Repeat("x", 255)} {
		if err := checkName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", " a", "a ", "a\nb", "a\x00", "\x1b[2J", "a\u202eb", "a\u200bb", "\xff", strings.Repeat("x", 256)} {
		if err := checkName(bad); err == nil {
			t.Errorf("checkName(%q) returned no error", bad)
		}
	}
}

// TestFullOutput checks that every verb fails if its output cannot be written.
func TestFullOutput(t *testing.T) {
	simdtest.Alone(t)
	t.Setenv("VELONYM_DIR", t.TempDir())
	if status, _, stderr := velonym("", "init"); status != 0 {
		t.Fatal(stderr)
	}
	if status, _, stderr := velonym("", "project", "create", "a", "--retention", "1y"); status != 0 {
		t.Fatal(stderr)
	}
	record := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(record, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, token, _ := velonym("", "token", "create", "--project", "a", "--op", "reverse")
	for _, args := range [][]string{
		{"token", "create", "--project", "a", "--op", "reverse"}, {"token", "inspect", "-"}, {"token", "inspect", "--json", "-"},
		{"project", "list"}, {"project", "list", "--json"}, {"project", "show", "a"}, {"project", "show", "a", "--json"},
		{"version"}, {"version", "--json"}, {"selftest"}, {"audit", "verify", record},
	} {
		var errs bytes.Buffer
		if status := run(args, strings.NewReader(token), fullDisk{}, &errs); status != 1 || !strings.Contains(errs.String(), "full") {
			t.Errorf("%q: status %d, want 1 and the cause: %s", args, status, &errs)
		}
	}
}

// fullDisk is a writer on a full disk.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

// TestProjectRestore restores a project whose scheduled severing has come due.
func TestProjectRestore(t *testing.T) {
	t.Setenv("VELONYM_DIR", filepath.Join(t.TempDir(), "keys"))
	for _, line := range []string{"init", "project create p --retention 5y", "project sever p --in 1s"} {
		if status, _, stderr := velonym("", strings.Fields(line)...); status != 0 {
			t.Fatal(stderr)
		}
	}
	for end := time.Now().Add(time.Minute); ; {
		status, _, stderr := velonym("", "project", "restore", "p")
		if status == 0 {
			if !strings.Contains(stderr, "project p: in use again") {
				t.Error(stderr)
			}
			break
		}
		if !strings.Contains(stderr, "sever p --cancel") || time.Now().After(end) {
			t.Fatal(stderr)
		}
	}
	if status, _, stderr := velonym("", "project", "rotate", "p"); status != 0 {
		t.Error(stderr)
	}
}

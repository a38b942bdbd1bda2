package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

var (
	aTime   = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+Z"`)
	aBase64 = regexp.MustCompile(`"[A-Za-z0-9+/]{43,86}=*"`)
)

// What scripts read of projects has the documented members and no others, and
// no secret.
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
		return aBase64.ReplaceAllString(aTime.ReplaceAllString(stdout, `"T"`), `"B"`)
	}
	must("init")
	if got := must("project", "list", "--json"); got != "[]\n" {
		t.Errorf("no projects: %q", got)
	}
	must("project", "create", "alpha", "--retention", "1y", "--org", "north", "--import-secret", file)
	must("project", "create", "beta", "--retention", "1y", "--format", "fpe:<&>")
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
  "imported": true,
  "severed": false,
  "severed_at": null,
  "created": "T",
  "domains": [
    {
      "org": "north",
      "generations": [
        {
          "gen": 0,
          "state": "deactivated",
          "imported": true,
          "created": "T",
          "destroyed": null
        },
        {
          "gen": 1,
          "state": "active",
          "imported": false,
          "created": "T",
          "destroyed": null
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

// Keys whose retention is over are destroyed by the next command that looks at
// projects, without a server.
func TestSweptByCommand(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("VELONYM_DIR", dir)
	if status, _, stderr := velonym("", "init"); status != 0 {
		t.Fatal(stderr)
	}
	// A project of yesterday, whose retention ended an hour ago.
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
	err = ks.CreateProject(t.Context(), keys.Project{Name: "old", Method: "reversible", Policy: "same", Format: "hex", Retention: time.Now().Add(-time.Hour)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := velonym("", "project", "list")
	if status != 0 || !strings.Contains(stderr, "project old: its retention is over: keys destroyed") || !strings.Contains(stdout, "severed") {
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

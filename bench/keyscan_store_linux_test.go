package bench

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/velonym/velonym/engine"
	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/sqlite"
	"github.com/velonym/velonym/engine/suite"
)

const (
	storeScanEnv = "VELONYM_TEST_STORESCAN" // FOLDER;TOKEN;NEEDLE=HEX;…
	liveWords    = "in use"                 // printed by the child when it has used the project
	severedWords = "severed"                // sent to the child after the severing
)

// TestSeveredNotInMemory severs a project while another process serves it. Afterwards the other
// process's memory must not contain the secret, its wrapped form or, outside key memory,
// the master key and its schedule. As a control, the search must find keys while the
// project is in use.
func TestSeveredNotInMemory(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	var imported [1][32]byte
	secmem.Random(imported[0][:])
	secret := imported[0]
	if err := engine.NewMasterKeyFile(dir + "/master.key"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dir + "/master.key")
	if err != nil {
		t.Fatal(err)
	}
	master, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Create(dir + "/keystore.db")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(ctx, engine.Config{Store: store, MasterKey: dir + "/master.key"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := engine.Project{Name: "scan", Method: "reversible", Policy: "same", Form: "pair62", Retention: time.Now().Add(time.Hour)}
	if err := e.Keystore.CreateProject(ctx, p, imported[:]); err != nil {
		t.Fatal(err)
	}
	for i := range 30 { // surround it with database pages of other projects
		p.Name = fmt.Sprintf("other%d", i)
		if err := e.Keystore.CreateProject(ctx, p, nil); err != nil {
			t.Fatal(err)
		}
	}
	raw, _, err := e.CreateToken(ctx, engine.TokenRequest{Project: "scan", Op: "pseudonymise"})
	if err != nil {
		t.Fatal(err)
	}
	var wrapped []byte
	db, err := sql.Open("sqlite", "file:"+dir+"/keystore.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT wrapped FROM secret WHERE id = (SELECT secret FROM generation WHERE prj = 'scan')").Scan(&wrapped); err != nil {
		t.Fatal(err)
	}
	schedule := roundKeys(master)
	env := storeScanEnv + "=" + dir + ";" + raw
	for _, n := range []struct {
		name string
		b    []byte
	}{{"secret", secret[:]}, {"wrapped secret", wrapped[12:]}, {"master key", master}, {"master key in hex", bytes.TrimSpace(text)},
		{"master key's schedule", schedule[5][:]}, {"master key's last round key", schedule[14][:]}} {
		m := bytes.Clone(n.b)
		for i := range m {
			m[i] ^= scanMask
		}
		env += ";" + n.name + "=" + hex.EncodeToString(m)
	}
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestStoreScanChild$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOGC=off", env)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	live := make(chan struct{})
	cmd.Stdout = &notify{w: &out, word: liveWords, seen: live}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-live:
	case <-time.After(time.Minute):
	}
	if _, err := e.Keystore.Sever(ctx, "scan"); err != nil {
		t.Error(err)
	}
	fmt.Fprintln(in, severedWords)
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "found none") {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

// notify passes writes on to w, and closes seen when word has been written.
type notify struct {
	w    *bytes.Buffer
	word string
	seen chan struct{}
	all  string
}

func (n *notify) Write(b []byte) (int, error) {
	if n.all += string(b); n.seen != nil && strings.Contains(n.all, n.word) {
		close(n.seen)
		n.seen = nil
	}
	return n.w.Write(b)
}

// TestStoreScanChild is the child of TestSeveredNotInMemory: a server without HTTP.
func TestStoreScanChild(t *testing.T) {
	env := os.Getenv(storeScanEnv)
	if env == "" {
		return // runs only as a child of TestSeveredNotInMemory
	}
	fields := strings.Split(env, ";")
	dir, raw := fields[0], fields[1]
	var needles []needle
	for _, f := range fields[2:] {
		name, masked, _ := strings.Cut(f, "=")
		b, err := hex.DecodeString(masked)
		if err != nil {
			t.Fatal(err)
		}
		for j := 0; j+8 <= len(b); j += 8 {
			needles = append(needles, needle{fmt.Sprint(name, " ", j), binary.LittleEndian.Uint64(b[j:])})
		}
	}
	ctx := context.Background()
	store, err := sqlite.Open(dir + "/keystore.db")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(ctx, engine.Config{Store: store, MasterKey: dir + "/master.key"})
	if err != nil {
		t.Fatal(err)
	}
	use := func() error {
		done := make(chan error)
		go func() { // as in the server, on another goroutine, whose stack nobody clears
			g, err := e.Verify(ctx, raw, engine.OpsForward)
			if err == nil {
				g.Plan.Transform(&suite.Batch{Src: []byte("scan"), Spans: []uint32{0, 4}})
				g.Release()
			}
			done <- err
		}()
		return <-done
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}
	// Other calls of a server and its operator.
	if _, err := e.Keystore.Projects(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Keystore.Generations(ctx, "scan"); err != nil {
		t.Fatal(err)
	}
	gens, err := e.Keystore.Secrets(ctx, keys.Domain{Prj: "scan"})
	if err != nil {
		t.Fatal(err)
	}
	keys.WipeSecrets(gens)
	// Fingerprints are read through package database/sql, on several connections; what a
	// token needs is not.
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if _, err := e.Keystore.GenerationFingerprints(ctx, "scan"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if found := scan(t, needles); len(found) == 0 {
		t.Fatalf("the search does not work: with keys in use it finds %v", found)
	}
	fmt.Println(liveWords)
	var word string
	if _, err := fmt.Scanln(&word); err != nil || word != severedWords {
		t.Fatal(word, err)
	}
	severed := func() bool {
		p, err := e.Keystore.Project(ctx, "scan")
		return err == nil && p.Severed
	}
	for end := time.Now().Add(30 * time.Second); !severed(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the project can still be used after its severing")
		}
	}
	clobber(64)
	locked := keyRegions(t)
	bad := search(t, "before another use", needles, locked)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if use() != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the severed project is in use")
		}
	}
	clobber(64)
	bad = search(t, "after another use", needles, locked) || bad
	if !bad {
		fmt.Printf("found none of %d needles\n", len(needles))
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// keyRegions returns a function that reports whether an address is in key memory. Only
// key memory is excluded both from core dumps and from forked children.
func keyRegions(t *testing.T) func(uintptr) bool {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	var regions [][2]uintptr
	var at [2]uintptr
	for line := range strings.Lines(string(smaps)) {
		if _, err := fmt.Sscanf(line, "%x-%x ", &at[0], &at[1]); err == nil {
			continue
		}
		if strings.HasPrefix(line, "VmFlags:") && strings.Contains(line, " dd ") && strings.Contains(line, " dc ") {
			regions = append(regions, at)
		}
	}
	if len(regions) == 0 {
		t.Fatal("no key memory found")
	}
	return func(p uintptr) bool {
		for _, r := range regions {
			if p >= r[0] && p < r[1] {
				return true
			}
		}
		return false
	}
}

// search scans for needles and reports whether it finds one outside key memory, where
// only the master key may be.
func search(t *testing.T, when string, needles []needle, locked func(uintptr) bool) (bad bool) {
	for name, where := range scan(t, needles) {
		for at := range strings.SplitSeq(where, " ") {
			var p uintptr
			if _, err := fmt.Sscanf(at, "0x%x", &p); err != nil {
				continue
			}
			if strings.HasPrefix(name, "master key") && locked(p) {
				continue
			}
			bad = true
			t.Errorf("%s, %s is found at %#x: %.900s", when, name, p, where)
			break
		}
	}
	return bad
}

package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// childPath is the environment variable that names the log of a child process.
const childPath = "VELONYM_AUDIT_TEST_PATH"

func TestMain(m *testing.M) {
	path := os.Getenv(childPath)
	if path == "" {
		os.Exit(m.Run())
	}
	if err := child(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(path string) error {
	l, err := Open(path, Options{MaxSize: 30000})
	if err != nil {
		return err
	}
	for i := range 200 {
		if err := l.Append(request("child", i%50 == 0)); err != nil {
			return err
		}
		if i == 20 {
			fmt.Println("under way")
		}
	}
	return l.Close()
}

func request(id string, sync bool) Record {
	return Record{Kind: "request", Request: id, JTI: "j", Project: "p", Org: "o", Op: "reverse", Outcome: "OK", Values: 3, Empty: 1, Sync: sync}
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "audit.jsonl") }

func open(t *testing.T, path string, opt Options) *Log {
	t.Helper()
	l, err := Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func add(t *testing.T, l *Log, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := l.Append(request(id, false)); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// whole verifies all files of a log and fails the test if the chain is broken.
func whole(t *testing.T, path string) Report {
	t.Helper()
	files, err := Files(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := VerifyFiles(files...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// ids returns the request identifiers of a log's records in order; of the log's own records it
// returns the kind.
func ids(t *testing.T, path string) []string {
	t.Helper()
	files, err := Files(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		for _, line := range strings.Split(strings.TrimSuffix(string(read(t, f)), "\n"), "\n") {
			var r struct{ Request, Kind string }
			if json.Unmarshal([]byte(line), &r) != nil {
				r.Request = "(torn)"
			} else if r.Request == "" {
				r.Request = r.Kind
			}
			out = append(out, r.Request)
		}
	}
	return out
}

func same(t *testing.T, path string, want ...string) {
	t.Helper()
	if got := ids(t, path); !slices.Equal(got, want) {
		t.Errorf("the log holds %q, want %q", got, want)
	}
}

// TestFormatAsDocumented reads a log by its documentation only, without this package.
func TestFormatAsDocumented(t *testing.T) {
	path := newPath(t)
	at := time.Date(2026, 11, 23, 21, 0, 0, 12345, time.FixedZone("", 3600))
	l := open(t, path, Options{})
	r := Record{
		Time: at, Kind: "run", Request: "r1", JTI: "j1", Project: "p", Org: "o", Source: "sp", SrcOrg: "so",
		Op: "secondary", Outcome: "NOT_A_PSEUDONYM", Values: 1 << 40, Empty: 2, Bad: 3,
	}
	if err := l.Append(r); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(Record{Kind: "request", Outcome: "OK"}); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	lines := strings.Split(string(read(t, path)), "\n")
	if len(lines) != 3 || lines[2] != "" {
		t.Fatalf("%d lines, want two and the end of the last", len(lines))
	}
	prev := strings.Repeat("0", 64)
	for i, line := range lines[:2] {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		body, _, ok := strings.Cut(line, `,"sum":"`)
		sum := sha256.Sum256([]byte(body))
		if !ok || m["sum"] != hex.EncodeToString(sum[:]) || m["prev"] != prev || m["seq"] != float64(i+1) {
			t.Errorf("line %d has another sum, prev or seq than computed: %s", i+1, line)
		}
		all := sha256.Sum256([]byte(line))
		prev = hex.EncodeToString(all[:])
		delete(m, "sum")
		delete(m, "prev")
		delete(m, "seq")
		want := map[string]any{"kind": "request", "values": 0.0, "empty": 0.0, "bad": 0.0, "outcome": "OK", "time": m["time"]}
		if i == 0 {
			want = map[string]any{
				"time": "2026-11-23T20:00:00.000012345Z", "kind": "run", "request": "r1", "jti": "j1", "prj": "p", "org": "o",
				"src_prj": "sp", "src_org": "so", "op": "secondary", "values": float64(1 << 40), "empty": 2.0, "bad": 3.0, "outcome": "NOT_A_PSEUDONYM",
			}
		}
		if fmt.Sprint(m) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", m, want)
		}
	}
	if r := whole(t, path); r.Head != prev || r.Seq != 2 || r.Records != 2 {
		t.Errorf("%+v, want 2 records and head %s", r, prev)
	}
}

// TestIdentifiersNeverBreakARecord checks that identifiers of any bytes and length give a record
// that can be read, in which long ones are visibly cut.
func TestIdentifiersNeverBreakARecord(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{})
	odd := []string{
		"\"", "\\", "\\u0041", "a\nb", "\x00", "\x7f", "\u0085", "\xff\xfe", "é\u2028", "\xe2\x82", strings.Repeat("x", 5000),
		strings.Repeat("é", 1000), strings.Repeat("\xff", 3000), `{"seq":1}`, strings.Repeat(`"`, 2000),
	}
	for _, s := range odd {
		r := request(s, false)
		r.JTI, r.Project, r.Org, r.Source, r.SrcOrg = s, s, s, s, s
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if r := whole(t, path); r.Records != int64(len(odd)) {
		t.Errorf("%+v, want %d records", r, len(odd))
	}
	b := read(t, path)
	if !utf8.Valid(b) {
		t.Error("the log is not UTF-8")
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		var r struct{ Request, Prj string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Errorf("%q: %v", odd[i], err)
		}
		if len(line) > 8<<10 || len(r.Prj) > 3*255+3 {
			t.Errorf("%q: a record of %d bytes, want 8 KiB at most and a cut prj", odd[i][:8], len(line))
		}
		if strings.ContainsFunc(line, func(c rune) bool { return c < 0x20 || c >= 0x7f && c < 0xa0 }) {
			t.Errorf("%q: the line holds a control character", odd[i])
		}
		if utf8.ValidString(odd[i]) && len(odd[i]) < 100 && !strings.ContainsAny(odd[i], "\n\x00\x7f\u0085") && r.Request != odd[i] {
			t.Errorf("%q became %q", odd[i], r.Request)
		}
		if len(odd[i]) > 1024 && !strings.HasSuffix(r.Prj, "…") {
			t.Errorf("a cut identifier does not end in …: %q", r.Prj)
		}
	}
}

// TestInvalidRecordsAreRefused checks that an invalid record returns ErrRecord, writes nothing
// and is not a failure of the log.
func TestInvalidRecordsAreRefused(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{})
	for what, change := range map[string]func(*Record){
		"no kind":          func(r *Record) { r.Kind = "" },
		"kind with space":  func(r *Record) { r.Kind = "a request" },
		"long kind":        func(r *Record) { r.Kind = strings.Repeat("x", 33) },
		"the log's kind":   func(r *Record) { r.Kind = "gap" },
		"op in upper case": func(r *Record) { r.Op = "Reverse" },
		"op with value":    func(r *Record) { r.Op = "reverse 1980010112345" },
		"no outcome":       func(r *Record) { r.Outcome = "" },
		"outcome in words": func(r *Record) { r.Outcome = "could not read Müller" },
		"negative":         func(r *Record) { r.Bad = -1 },
	} {
		r := request("x", true)
		change(&r)
		if err := l.Append(r); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if len(read(t, path)) != 0 {
		t.Error("a refused record was written")
	}
	if err := l.Err(); err != nil {
		t.Errorf("Err after a refused record: %v, want nil", err)
	}
}

// TestConcurrentAppendsMakeOneChain checks that concurrent calls write every record once, those
// of one goroutine in order.
func TestConcurrentAppendsMakeOneChain(t *testing.T) {
	path := newPath(t)
	handles := []*Log{
		open(t, path, Options{MaxSize: 20000}),
		open(t, path, Options{MaxSize: 20000}),
		open(t, path, Options{MaxSize: 20000, Delay: time.Millisecond}),
	}
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			for n := range 50 {
				if err := handles[i%3].Append(request(fmt.Sprintf("%d-%d", i, n), n%7 == 0)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, l := range handles {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r := whole(t, path)
	if r.Files < 5 || r.First != 1 || r.Seq != uint64(r.Records) {
		t.Errorf("%+v, want 5 files or more that begin with record 1", r)
	}
	// Every record occurs once, and those of one goroutine are in order.
	next := make([]int, 9)
	total := 0
	for _, id := range ids(t, path) {
		var i, n int
		if _, err := fmt.Sscanf(id, "%d-%d", &i, &n); err != nil {
			continue // the log's own
		}
		if n != next[i] {
			t.Fatalf("goroutine %d: record %d after %d", i, n, next[i]-1)
		}
		next[i]++
		total++
	}
	if total != 450 {
		t.Errorf("%d records, want 450", total)
	}
}

// TestProcessesShareALog lets several processes append to one log, kills one of them, and
// verifies the chain.
func TestProcessesShareALog(t *testing.T) {
	path := newPath(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, path, Options{MaxSize: 30000})
	var wg sync.WaitGroup
	for i := range 3 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childPath+"="+path)
		if i == 2 {
			// This process is killed while it appends.
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				out.Read(make([]byte, 1))
				cmd.Process.Kill()
				cmd.Wait()
			})
			continue
		}
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for i := range 200 {
		if err := l.Append(request("parent", i%50 == 0)); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	add(t, l, "last")
	count := map[string]int{}
	for _, id := range ids(t, path) {
		count[id]++
	}
	if r := whole(t, path); count["parent"] != 200 || count["child"] < 400 || count["rotated"] != r.Files-1 {
		t.Errorf("%v in %+v, want 200 of the parent, 400 or more of children and a rotation for each file", count, r)
	}
}

// TestDelayedRecords checks that delayed records are written by a record with Sync, by amount,
// by the timer and by Close, in their order.
func TestDelayedRecords(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{Delay: time.Hour})
	add(t, l, "a", "b")
	if len(read(t, path)) != 0 {
		t.Error("delayed records were written at once")
	}
	if err := l.Append(request("c", true)); err != nil {
		t.Fatal(err)
	}
	same(t, path, "a", "b", "c") // in their order
	r := request("d", false)
	r.JTI = strings.Repeat("x", 1000)
	for range 100 {
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	for len(read(t, path)) < 64<<10 { // the background write
		time.Sleep(time.Millisecond)
	}
	for range 2000 {
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	// At most the current batch and the pending one are not on disk yet.
	if n := len(read(t, path)); n < (2000-2*256)<<10 {
		t.Errorf("of 2,000 KiB of records %d bytes are on disk", n)
	}
	add(t, l, "e")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, path); len(got) != 2104 || got[2103] != "e" {
		t.Errorf("%d records after Close, want 2104", len(got))
	}
	if err := l.Append(request("f", false)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := l.Check(); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}

	// By the timer.
	path = newPath(t)
	l = open(t, path, Options{Delay: time.Millisecond})
	for _, id := range []string{"a", "b"} { // the timer works more than once
		before := len(read(t, path))
		add(t, l, id)
		for len(read(t, path)) == before {
			time.Sleep(time.Millisecond)
		}
	}
}

// TestSyncRecordsAreOnDisk checks that a record with Sync is synced before Append returns, and
// that others cause no sync.
func TestSyncRecordsAreOnDisk(t *testing.T) {
	f := withFaults(t)
	path := newPath(t)
	l := open(t, path, Options{MaxSize: 3000})
	for i := range 30 {
		if err := l.Append(request("x", i%3 == 0)); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		if i%3 == 0 && f.fullSize != int64(len(read(t, path))) {
			t.Fatalf("record %d: %d bytes written, %d of them synced, want all", i, len(read(t, path)), f.fullSize)
		}
		f.mu.Unlock()
	}
	// Records without Sync cause no sync.
	l = open(t, newPath(t), Options{})
	before := f.syncs
	add(t, l, "a", "b", "c")
	if f.syncs != before {
		t.Error("a record without Sync was synced")
	}
}

// TestGroupCommit delays the first sync until many other records are written, and checks that
// one more sync covers all of them.
func TestGroupCommit(t *testing.T) {
	f := withFaults(t)
	path := newPath(t)
	l := open(t, path, Options{})
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.set(func() {
		f.syncs = 0
		f.onSync = func() { once.Do(func() { close(started); <-release }) }
	})
	var wg sync.WaitGroup
	one := func() {
		if err := l.Append(request("x", true)); err != nil {
			t.Error(err)
		}
	}
	wg.Go(one)
	<-started
	for range 40 {
		wg.Go(one)
	}
	for bytes.Count(read(t, path), []byte("\n")) < 41 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	wg.Wait()
	// The last record may have been written, but not yet counted, when the second sync began.
	if f.syncs > 3 {
		t.Errorf("%d syncs for 41 records, want at most 3", f.syncs)
	}
	if r := whole(t, path); r.Records != 41 {
		t.Errorf("%+v, want 41 records", r)
	}
}

// TestRecordsAllocateNothing checks that Append allocates nothing for a record.
func TestRecordsAllocateNothing(t *testing.T) {
	l := open(t, newPath(t), Options{Delay: time.Hour})
	r := sample
	per := testing.AllocsPerRun(5000, func() {
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	})
	if per >= 1 { // a write, every few hundred records, may allocate
		t.Errorf("%v allocations for a record, want none", per)
	}
}

// TestClockMatchesTimeFormat compares the cached text of a time with that of package time.
func TestClockMatchesTimeFormat(t *testing.T) {
	var c clock
	for _, s := range []string{
		"1970-01-01T00:00:00.000000000Z", "1970-01-01T00:00:00.000000001Z", "1969-12-31T23:59:59.999999999Z",
		"2026-11-23T20:18:00.120000000Z", "2026-11-23T20:18:00.000456789Z", "2026-11-23T20:18:01.000000000Z", "2026-11-23T20:18:00.999999999Z",
	} {
		at, err := time.Parse(timeFormat, s)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(c.append([]byte("x"), at.In(time.FixedZone("", 3600)))); got != "x"+s {
			t.Errorf("%s became %s", s, got)
		}
	}
}

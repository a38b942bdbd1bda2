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
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// childPath names the log that a child process appends to.
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

// whole verifies all files of a log.
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

// ids lists the request identifiers of a log in order, and its own records as
// their kind.
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

// TestFormat reads a log as anyone could who has only the documentation.
func TestFormat(t *testing.T) {
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
		t.Fatalf("%d lines", len(lines))
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
			t.Errorf("line %d: %s", i+1, line)
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
		t.Errorf("%+v", r)
	}
}

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
		t.Errorf("%+v", r)
	}
	b := read(t, path)
	if !utf8.Valid(b) {
		t.Error("not UTF-8")
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		var r struct{ Request, Prj string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Errorf("%q: %v", odd[i], err)
		}
		if len(line) > 8<<10 || len(r.Prj) > 3*255+3 {
			t.Errorf("%q: %d bytes", odd[i][:8], len(line))
		}
		if strings.ContainsFunc(line, func(c rune) bool { return c < 0x20 || c >= 0x7f && c < 0xa0 }) {
			t.Errorf("%q: a control character", odd[i])
		}
		if utf8.ValidString(odd[i]) && len(odd[i]) < 100 && !strings.ContainsAny(odd[i], "\n\x00\x7f\u0085") && r.Request != odd[i] {
			t.Errorf("%q became %q", odd[i], r.Request)
		}
		if len(odd[i]) > 1024 && !strings.HasSuffix(r.Prj, "…") {
			t.Errorf("a cut does not show: %q", r.Prj)
		}
	}
}

func TestRecordRefused(t *testing.T) {
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
		t.Error("something was written")
	}
	if err := l.Err(); err != nil {
		t.Errorf("a refused record is no failure of the log: %v", err)
	}
}

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
		t.Errorf("%+v", r)
	}
	// Every record once, and those of one goroutine in order.
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
			// This one is killed in the middle.
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
		t.Errorf("%v in %+v", count, r)
	}
}

// TestTornAnywhere cuts the last record at every byte, as a crash might, and
// appends.
func TestTornAnywhere(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{})
	add(t, l, "a", "b", "c")
	l.Close()
	full := read(t, path)
	last := bytes.LastIndexByte(full[:len(full)-1], '\n') + 1
	first := bytes.IndexByte(full, '\n') + 1
	test := func(content []byte, torn []byte, before ...string) {
		t.Helper()
		path := newPath(t)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(bytes.NewReader(content)); err == nil {
			t.Fatal("the torn record does not show")
		}
		l := open(t, path, Options{})
		add(t, l, "d")
		l.Close()
		if r := whole(t, path); r.Torn != 1 || r.Records != int64(len(before)+2) {
			t.Fatalf("%+v", r)
		}
		same(t, path, append(before, "(torn)", "recovered", "d")...)
		if b := read(t, path); !bytes.HasPrefix(b, append(bytes.Clone(content), '\n')) {
			t.Fatal("what was torn is not kept")
		}
		// The record of the tear is part of the chain: the torn bytes
		// cannot be changed either, nor taken away.
		b := read(t, path)
		at := len(content) - len(torn)
		if _, err := Verify(bytes.NewReader(slices.Concat(b[:at], b[len(content)+1:]))); err == nil {
			t.Fatal("a removed torn line does not show")
		}
		b[at] ^= 1
		if _, err := Verify(bytes.NewReader(b)); err == nil {
			t.Fatal("a changed torn line does not show")
		}
	}
	for cut := last + 1; cut < len(full); cut++ {
		c := full[:cut]
		if cut == len(full)-1 {
			continue // see TestTornLineEndAlone
		}
		test(c, c[last:], "a", "b")
	}
	for _, cut := range []int{1, 3, 7, 20, first - 2} {
		test(full[:cut], full[:cut])
	}
	// A file system that had made the file longer, and not yet filled it.
	zeros := slices.Concat(full[:last+40], make([]byte, 20000))
	test(zeros, zeros[last:], "a", "b")
}

func TestTornLineEndAlone(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{})
	add(t, l, "a", "b")
	// Another process died; this one is still at it.
	if err := os.Truncate(path, int64(len(read(t, path))-1)); err != nil {
		t.Fatal(err)
	}
	add(t, l, "c")
	// The record itself was whole: it stays one.
	if r := whole(t, path); r.Torn != 0 || r.Records != 3 {
		t.Errorf("%+v", r)
	}
	same(t, path, "a", "b", "c")
}

func TestOpenRefusesWhatIsNoLog(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{})
	add(t, l, "a", "b")
	l.Close()
	good := read(t, path)
	lines := bytes.SplitAfter(good, []byte("\n"))
	changed := bytes.Clone(good)
	changed[len(changed)-150] ^= 1
	for what, content := range map[string][]byte{
		"text":                []byte("national number,name\n1980010112345,Müller\n"),
		"text without end":    []byte("1980010112345"),
		"other JSON":          []byte(`{"data":["1980010112345"]}` + "\n"),
		"other JSON, no end":  []byte(`{"data":["1980010112345"]}`),
		"changed last record": changed,
		"garbage after":       slices.Concat(good, []byte("x\n")),
		"empty line after":    slices.Concat(good, []byte("\n")),
		"megabytes after":     slices.Concat(good, bytes.Repeat([]byte("x"), 3<<20)),
		"megabytes":           bytes.Repeat([]byte("x"), 3<<20),
		"line cut in front":   slices.Concat(lines[0], lines[1][3:]),
	} {
		p := newPath(t)
		if err := os.WriteFile(p, content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(p, Options{})
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "move it to another folder") || strings.Contains(err.Error(), "1980") {
			t.Errorf("%s: got %v", what, err)
		}
		if !bytes.Equal(read(t, p), content) {
			t.Errorf("%s: the file was changed", what)
		}
	}
	if _, err := Open(t.TempDir(), Options{}); err == nil {
		t.Error("opened a folder")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "no", "log"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}

func TestRotationBySize(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{MaxSize: 2000})
	var want []string
	for i := range 20 {
		id := fmt.Sprint(i)
		add(t, l, id)
		want = append(want, id)
	}
	r := whole(t, path)
	if r.Files < 4 || r.Records != int64(20+r.Files-1) {
		t.Errorf("%+v", r)
	}
	files, err := Files(path)
	if err != nil {
		t.Fatal(err)
	}
	var last Report
	for i, f := range files {
		st, err := os.Stat(f)
		if err != nil || st.Size() > 2000 || st.Mode() != 0o600 {
			t.Errorf("%s: %d bytes, mode %v, %v", f, st.Size(), st.Mode(), err)
		}
		// Each is a chain that says what it follows.
		one, err := VerifyFiles(f)
		if err != nil || i > 0 && (one.First != last.Seq+1 || one.Prev != last.Head) {
			t.Errorf("%s: %+v, %v", f, one, err)
		}
		if i < len(files)-1 && !strings.HasSuffix(f, fmt.Sprintf(".%012d", one.Seq)) {
			t.Errorf("%s ends with record %d", f, one.Seq)
		}
		last = one
	}
	got := slices.DeleteFunc(ids(t, path), func(s string) bool { return s == "rotated" })
	if !slices.Equal(got, want) {
		t.Errorf("the log holds %q", got)
	}
	// In another order, or without one, they are no chain.
	for what, list := range map[string][]string{
		"swapped": slices.Concat(files[1:2], files[:1], files[2:]),
		"missing": slices.Concat(files[:1], files[2:]),
		"twice":   slices.Concat(files[:1], files),
	} {
		var broken *BrokenError
		if _, err := VerifyFiles(list...); !errors.As(err, &broken) || broken.Line != 1 {
			t.Errorf("%s: got %v", what, err)
		}
	}
	// However small the size, a file holds a record besides its first.
	tiny := newPath(t)
	l = open(t, tiny, Options{MaxSize: 1})
	add(t, l, "a", "b", "c", "d", "e", "f")
	if r := whole(t, tiny); r.Files > 6 {
		t.Errorf("%+v", r)
	}
}

// TestRenamedByOthers is logrotate's way: the file is renamed, then the process
// is told, or not.
func TestRenamedByOthers(t *testing.T) {
	path := newPath(t)
	a, b := open(t, path, Options{}), open(t, path, Options{})
	add(t, a, "a1")
	add(t, b, "b1")
	rename := func(to string) {
		t.Helper()
		if err := os.Rename(path, path+to); err != nil {
			t.Fatal(err)
		}
	}
	rename(".1")
	if err := a.Reopen(); err != nil {
		t.Fatal(err)
	}
	if len(read(t, path)) == 0 {
		t.Error("the new file does not say yet what it follows")
	}
	add(t, a, "a2")
	add(t, b, "b2") // was not told
	rename("-20261123")
	add(t, b, "b3")
	add(t, a, "a3")
	same(t, path, "a1", "b1", "rotated", "a2", "b2", "rotated", "b3", "a3")
	if r := whole(t, path); r.Files != 3 || r.Records != 8 {
		t.Errorf("%+v", r)
	}
	// A process that starts while there is no file goes on too.
	rename(".2")
	c := open(t, path, Options{})
	add(t, c, "c4")
	add(t, a, "a4")
	// So it does from a file that was made and never begun.
	rename(".3")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, b, "b5")
	add(t, c, "c5")
	// One torn end, in a file that is renamed already.
	old := read(t, path)
	rename(".4")
	if err := os.Truncate(path+".4", int64(len(old)-9)); err != nil {
		t.Fatal(err)
	}
	add(t, a, "a6")
	if r := whole(t, path); r.Files != 6 || r.Torn != 1 {
		t.Errorf("%+v", r)
	}
	// Torn by another process, after this one's last record.
	rename(".5")
	f, err := os.OpenFile(path+".5", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":99,"prev":"`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, open(t, path, Options{}), "d7")
	add(t, a, "a7")
	if r := whole(t, path); r.Files != 7 || r.Torn != 2 {
		t.Errorf("%+v", r)
	}
	// Taken out of the folder altogether, the chain goes on in memory.
	if err := os.Rename(path, filepath.Join(t.TempDir(), "elsewhere")); err != nil {
		t.Fatal(err)
	}
	before, err := VerifyFiles(func() []string { f, _ := Files(path); return f }()...)
	if err != nil {
		t.Fatal(err)
	}
	add(t, a, "a8")
	one, err := VerifyFiles(path)
	if err != nil || one.First <= before.Seq {
		t.Errorf("%+v after %+v, %v", one, before, err)
	}
}

func TestDelay(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{Delay: time.Hour})
	add(t, l, "a", "b")
	if len(read(t, path)) != 0 {
		t.Error("written at once")
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
	for len(read(t, path)) < 64<<10 { // nobody waits for it
		time.Sleep(time.Millisecond)
	}
	for range 2000 {
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	// A batch on its way and what waits for the next.
	if n := len(read(t, path)); n < (2000-2*256)<<10 {
		t.Errorf("of 2,000 KiB of records %d bytes are on disk", n)
	}
	add(t, l, "e")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, path); len(got) != 2104 || got[2103] != "e" {
		t.Errorf("%d records after Close", len(got))
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

	// And by the clock.
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

// faulty is a file that fails as told.
type faulty struct {
	osFile
	f *faults
}

type faults struct {
	mu        sync.Mutex
	room      int // bytes that can still be written; below 0: any number
	noTrunc   bool
	noReserve bool // space cannot be set aside
	syncErr   error
	syncs     int
	onSync    func()
	fullSize  int64 // size of the file at the last sync
}

func (f *faulty) Write(b []byte) (int, error) {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	if f.f.room < 0 || len(b) <= f.f.room {
		if f.f.room >= 0 {
			f.f.room -= len(b)
		}
		return f.File.Write(b)
	}
	n, err := f.osFile.Write(b[:f.f.room])
	f.f.room = 0
	if err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f *faulty) reserve(_, n int64) error {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	switch {
	case f.f.noReserve:
		return errNoReserve
	case f.f.room >= 0 && int64(f.f.room) < n:
		return syscall.ENOSPC
	}
	return nil
}

func (f *faulty) Truncate(size int64) error {
	if f.f.noTrunc {
		return syscall.EIO
	}
	return f.File.Truncate(size)
}

func (f *faulty) Sync() error {
	f.f.mu.Lock()
	f.f.syncs++
	err := f.f.syncErr
	if st, e := f.File.Stat(); e == nil {
		f.f.fullSize = st.Size()
	}
	hook := f.f.onSync
	f.f.mu.Unlock()
	if hook != nil {
		hook()
	}
	return err
}

func withFaults(t *testing.T) *faults {
	t.Helper()
	f := &faults{room: -1}
	old := openFile
	openFile = func(path string, flag int) (file, error) {
		o, err := os.OpenFile(path, flag, 0o600)
		if err != nil {
			return nil, err
		}
		return &faulty{osFile{o}, f}, nil
	}
	t.Cleanup(func() { openFile = old })
	return f
}

func (f *faults) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func TestFullDisk(t *testing.T) {
	f := withFaults(t)
	path := newPath(t)
	l := open(t, path, Options{})
	add(t, l, "a", "b")
	before := read(t, path)
	for _, room := range []int{0, 1, 100, 300} {
		f.set(func() { f.room = room })
		err := l.Append(request("lost", true))
		if !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "audit: ") || !strings.Contains(err.Error(), path) {
			t.Fatalf("with room for %d bytes: got %v", room, err)
		}
		if !bytes.Equal(read(t, path), before) {
			t.Fatalf("with room for %d bytes: half a record is left", room)
		}
		if !errors.Is(l.Err(), syscall.ENOSPC) || !errors.Is(l.Check(), syscall.ENOSPC) {
			t.Fatal("the log says it is well")
		}
	}
	f.set(func() { f.room = -1 })
	if err := l.Check(); err != nil || l.Err() != nil {
		t.Fatal(err, l.Err())
	}
	add(t, l, "c")
	same(t, path, "a", "b", "gap", "c")
	if r := whole(t, path); r.Lost != 4 {
		t.Errorf("%+v", r)
	}

	// Not even the half can be cut off.
	f.set(func() { f.room, f.noTrunc = 50, true })
	if err := l.Append(request("lost", false)); !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	f.set(func() { f.room, f.noTrunc = -1, false })
	add(t, l, "d")
	same(t, path, "a", "b", "gap", "c", "(torn)", "recovered", "gap", "d")
	if r := whole(t, path); r.Lost != 5 || r.Torn != 1 {
		t.Errorf("%+v", r)
	}
}

func TestFullDiskDelayed(t *testing.T) {
	f := withFaults(t)
	path := newPath(t)
	l := open(t, path, Options{Delay: time.Hour})
	add(t, l, "a", "b")
	f.set(func() { f.room = 10 })
	if err := l.Append(request("c", true)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	// Those that need not wait have no space set aside for them, and are not kept.
	if err := l.Append(request("d", false)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	f.set(func() { f.room = -1 })
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	add(t, l, "e")
	l.Close()
	same(t, path, "gap", "e")
	if r := whole(t, path); r.Lost != 4 {
		t.Errorf("%+v", r)
	}
}

// TestFullDiskRefusesTheFirst: a delayed record is let in only when the space that
// it will take is set aside, so a full disk refuses the first call, not the one
// after the first write.
func TestFullDiskRefusesTheFirst(t *testing.T) {
	f := withFaults(t)
	path := newPath(t)
	l := open(t, path, Options{Delay: time.Hour})
	f.set(func() { f.room = 0 })
	// Space was set aside when the log was opened: so many records fit.
	for range 100 {
		add(t, l, "a")
	}
	l = open(t, newPath(t), Options{Delay: time.Hour})
	if err := l.Append(request("b", false)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the first call on a full disk: %v", err)
	}
	f.set(func() { f.room = -1 })
	add(t, l, "c") // and at once again when there is space
	same(t, l.path, "gap", "c")
}

// TestNoReserve: where space cannot be set aside, a record is written before Append
// returns.
func TestNoReserve(t *testing.T) {
	f := withFaults(t)
	f.set(func() { f.noReserve = true })
	path := newPath(t)
	l := open(t, path, Options{Delay: time.Hour})
	add(t, l, "a", "b")
	same(t, path, "a", "b")
}

func TestSyncFails(t *testing.T) {
	f := withFaults(t)
	path := newPath(t)
	l := open(t, path, Options{})
	f.set(func() { f.syncErr = syscall.EIO })
	if err := l.Append(request("a", true)); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	if !errors.Is(l.Err(), syscall.EIO) || !errors.Is(l.Check(), syscall.EIO) {
		t.Error("the log says it is well")
	}
	if err := l.Append(request("b", true)); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	f.set(func() { f.syncErr = nil })
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	if err := l.Append(request("c", true)); err != nil || l.Err() != nil {
		t.Error(err, l.Err())
	}
	same(t, path, "a", "b", "c")
	whole(t, path)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestSyncedMeansSynced(t *testing.T) {
	f := withFaults(t)
	path := newPath(t)
	l := open(t, path, Options{MaxSize: 3000})
	for i := range 30 {
		if err := l.Append(request("x", i%3 == 0)); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		if i%3 == 0 && f.fullSize != int64(len(read(t, path))) {
			t.Fatalf("record %d: %d bytes written, %d synced", i, len(read(t, path)), f.fullSize)
		}
		f.mu.Unlock()
	}
	// What has no need for it does not pay for it.
	l = open(t, newPath(t), Options{})
	before := f.syncs
	add(t, l, "a", "b", "c")
	if f.syncs != before {
		t.Error("synced without need")
	}
}

// TestGroupCommit holds the first sync back until many others have been
// written: one more sync is enough for all of them.
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
	// The last may have been written, but not yet counted, when the second
	// sync began.
	if f.syncs > 3 {
		t.Errorf("%d syncs for 41 records", f.syncs)
	}
	if r := whole(t, path); r.Records != 41 {
		t.Errorf("%+v", r)
	}
}

func TestRecordsAllocateNothing(t *testing.T) {
	l := open(t, newPath(t), Options{Delay: time.Hour})
	r := sample
	per := testing.AllocsPerRun(5000, func() {
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	})
	if per >= 1 { // a write every few hundred records may
		t.Errorf("%v allocations a record", per)
	}
}

// TestClock compares the kept text of a second with the standard library's.
func TestClock(t *testing.T) {
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

// TestFullDiskStaysFull: a disk with room for a short record, but not for many, is
// still full after it refused one, and says so to whoever asks.
func TestFullDiskStaysFull(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Hour} {
		for _, noReserve := range []bool{false, true} {
			f := withFaults(t)
			f.set(func() { f.noReserve = noReserve })
			path := newPath(t)
			l := open(t, path, Options{Delay: delay})
			add(t, l, "a")
			f.set(func() { f.room = 100 })
			if err := l.Append(request("lost", true)); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("got %v", err)
			}
			for range 20 {
				f.set(func() { f.room = 1000 }) // three records
				if err := l.Append(request("lost", false)); !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("delay %v: a full disk took a record: %v", delay, err)
				}
				f.set(func() { f.room = 1000 })
				if err := l.Check(); !errors.Is(err, syscall.ENOSPC) || l.Err() == nil {
					t.Fatalf("delay %v: the log says that it is well: %v", delay, err)
				}
			}
			f.set(func() { f.room = -1 })
			if err := l.Check(); err != nil {
				t.Fatal(err)
			}
			add(t, l, "b")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			whole(t, path)
			if got := ids(t, path); !slices.Equal(got, []string{"a", "gap", "b"}) && !slices.Equal(got, []string{"gap", "b"}) {
				t.Errorf("the log holds %q", got)
			}
		}
	}
}

// TestFullDiskIsNoticed: a disk that filled up shows before a record meets it.
func TestFullDiskIsNoticed(t *testing.T) {
	f := withFaults(t)
	f.set(func() { f.room = 100 << 10 }) // nothing can be set aside for later
	l := open(t, newPath(t), Options{Delay: time.Hour})
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.room = 1000 })
	if err := l.Check(); !errors.Is(err, syscall.ENOSPC) || !errors.Is(l.Err(), syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}

// TestFullDiskWithSpaceSetAside: a full disk shows though records still find room.
func TestFullDiskWithSpaceSetAside(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{Delay: time.Hour})
	old := freeSpace
	t.Cleanup(func() { freeSpace = old })
	freeSpace = func(string) (uint64, error) { return 1000, nil }
	if err := l.Check(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if err := l.Append(request("a", true)); err != nil || l.Err() != nil {
		t.Errorf("got %v, %v", err, l.Err())
	}
	freeSpace = func(string) (uint64, error) { return 0, errors.New("not known") }
	if err := l.Check(); err != nil {
		t.Errorf("got %v", err)
	}
}

package bulk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/panics"
)

// journal makes a run resumable. It is a small file beside the temporary output, replaced
// about once a second, that records up to where the output is written and synced.
type journal struct {
	path   string
	t      *target
	reject *target
	every  time.Duration

	state   journalState
	found   bool // state was read from the journal of an earlier run
	written bool // the file exists

	mu      sync.Mutex
	latest  checkpoint
	lastAt  time.Time
	saving  bool
	saved   sync.Cond
	saveErr error
}

// journalState is the content of the file. It holds no value, key or token.
type journalState struct {
	Journal     int        `json:"velonym_journal"` // version of this format: 1
	Version     string     `json:"version"`
	Input       input      `json:"input"`
	Job         string     `json:"job"`         // digest of columns and options
	Fingerprint string     `json:"fingerprint"` // digest of Job.Fingerprint and of the keys
	Mark        checkpoint `json:"mark"`
	Tail        string     `json:"tail"` // digest of the output's last bytes before the checkpoint
	Done        bool       `json:"done"` // complete; the run was still writing other outputs
}

// input identifies a file and its content.
type input struct {
	Size   int64  `json:"size"`
	MTime  int64  `json:"mtime"`  // ns
	Digest string `json:"digest"` // of its first and its last 64 KiB
}

const (
	journalSpan  = 64 << 10
	journalLimit = 64 << 20 // of the file; counts by column make it grow with their number
)

// errJournal is returned for a journal whose digests match the input and output but whose
// checkpoints contradict them.
var errJournal error = &ResumeError{errors.New("the journal of the interrupted run is damaged")}

// journalName is the name of the journal of an output.
func journalName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".velonym-journal")
}

// openJournal prepares the journal of an output and, with Job.Resume, reads that of an
// interrupted run. It returns nil if the run cannot be resumed: from or to a pipe, with a
// mapping file, whose sealed stream cannot be continued, or with policy document over
// several files or over Parquet.
func (r *run) openJournal(src *source, t *target, v *pipeline, format Format, pack Compression) (*journal, error) {
	why := ""
	switch {
	case t.f == nil:
		why = "standard output"
	case src.info == nil || !src.info.Mode().IsRegular():
		why = "a pipe"
	case r.documents() && (len(r.Inputs) > 1 || format == Parquet):
		why = "policy document over several files, or over Parquet,"
	case r.mapping != nil:
		why = "a sealed mapping file"
	}
	if why != "" {
		if r.Resume {
			r.warn("a run with %s cannot be resumed: starting from the beginning", why)
		}
		if t.f != nil {
			os.Remove(journalName(t.path))
		}
		return nil, nil
	}
	j := &journal{path: journalName(t.path), t: t, reject: r.rejects, every: r.checkpointEvery}
	j.saved.L = &j.mu
	if j.every == 0 {
		j.every = time.Second
	}
	id, err := identify(src)
	if err != nil {
		return nil, err
	}
	now := journalState{Journal: 1, Version: r.Version, Input: id, Job: r.jobDigest(v, format, pack), Fingerprint: r.keyDigest()}
	if !r.Resume {
		if err := os.Remove(j.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, plainPathError(err)
		}
		j.state, j.lastAt = now, time.Now()
		r.journals = append(r.journals, j)
		return j, nil
	}
	b, err := readOwn(j.path, journalLimit)
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, err
	case err == nil:
		if err := json.Unmarshal(b, &j.state); err != nil || j.state.Journal != now.Journal {
			return nil, fmt.Errorf("%s is no journal that this version reads; remove it to start from the beginning", j.path)
		}
		differ := ""
		switch s := &j.state; {
		case s.Input != now.Input:
			return nil, &ResumeError{fmt.Errorf("%s: %w since the interrupted run", src.name, ErrChanged)}
		case s.Version != now.Version:
			differ = "another version of the program"
		case s.Fingerprint != now.Fingerprint:
			differ = "a token for other work, or other keys"
		case s.Job != now.Job:
			differ = "other columns or options"
		}
		if differ != "" {
			return nil, &ResumeError{usagef("the interrupted run had %s", differ)}
		}
		tail, err := j.tail(j.state.Mark.Out)
		if err != nil || tail != j.state.Tail {
			return nil, &ResumeError{fmt.Errorf("%s is not what the interrupted run left", t.temp)}
		}
		j.found, j.written = true, true
		if r.varies() {
			r.warn("policy different: what is written from here on would not be the same in a run that was not interrupted")
		}
	default:
		r.warn("no journal of an interrupted run: starting from the beginning")
	}
	if !j.found {
		j.state = now
	}
	j.lastAt = time.Now()
	r.journals = append(r.journals, j)
	return j, nil
}

// resumes reports whether the run continues an interrupted one.
func (j *journal) resumes() bool { return j != nil && j.found }

// identify returns the identity of a regular input.
func identify(src *source) (input, error) {
	h := sha256.New()
	size := src.info.Size()
	for _, at := range []int64{0, max(0, size-journalSpan)} {
		if _, err := io.Copy(h, io.NewSectionReader(src.file, at, journalSpan)); err != nil {
			return input{}, fmt.Errorf("%s: %w", src.name, bareErr(err))
		}
	}
	return input{size, src.info.ModTime().UnixNano(), hex.EncodeToString(h.Sum(nil))}, nil
}

// jobDigest digests everything that determines the output, except keys.
func (r *run) jobDigest(v *pipeline, format Format, pack Compression) string {
	type column struct {
		Name     string
		Number   int
		Group    int
		Describe map[string]string
	}
	var columns []column
	for _, c := range r.Columns {
		what := maps.Clone(c.Describe)
		delete(what, "token")
		columns = append(columns, column{c.Name, c.Number, r.groups[c.transform()], what})
	}
	return digestJSON([]any{columns, format, pack, r.Encoding, r.OutputEncoding, r.NoHeader, r.SkipLines, r.Comma, r.FindComma, r.NoQuotes, r.Ragged, r.RepeatedHeader, r.AllowOther, r.Numbers, r.OnError, r.Rejects != "",
		r.Null, r.Part, r.Parts, v.size, v.max, v.shareStart, v.shareEnd})
}

func digestJSON(x any) string {
	b, err := json.Marshal(x)
	if err != nil {
		panic("bulk: " + err.Error())
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// keyDigest binds a journal to the caller's tokens, and to the keys as far as the
// pseudonym of a fixed value shows them.
func (r *run) keyDigest() string {
	parts := []string{r.Fingerprint}
	for _, c := range r.Columns {
		if c.Plan == nil {
			parts = append(parts, c.Remote.identity())
			continue
		}
		shown := ""
		if c.Plan.Deterministic() {
			shown = probe(c.Plan)
		}
		parts = append(parts, shown)
	}
	return digestJSON(parts)
}

// varies reports whether a plan gives equal values different results.
func (r *run) varies() bool {
	return slices.ContainsFunc(r.Columns, func(c Column) bool { return c.Plan != nil && !c.Plan.Deterministic() })
}

// probe returns the result of a plan for a fixed value, or "" for a plan that reverses.
func probe(p *suite.Plan) string {
	b := suite.Batch{Src: []byte("00000000000000"), Spans: []uint32{0, 14}, Doc: p.NewDocument()}
	p.Transform(&b)
	return string(b.Dst)
}

// tail digests the last journalSpan bytes of the output before offset n.
func (j *journal) tail(n int64) (string, error) {
	b := make([]byte, min(n, journalSpan))
	if _, err := j.t.lock.ReadAt(b, n-int64(len(b))); err != nil {
		return "", err
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:]), nil
}

// resumeAt makes v continue at the journal's checkpoint. With policy document v reads from
// the beginning and writes nothing up to the checkpoint: the counters hold identifiers, so
// they are in no file and must be counted again.
func (r *run) resumeAt(ctx context.Context, j *journal, t *target, v *pipeline, src *source) error {
	m := j.state.Mark
	if err := t.f.Truncate(m.Out); err != nil {
		return t.writeError(err)
	}
	if r.rejects != nil {
		if err := r.rejects.f.Truncate(m.Reject); err != nil {
			return r.rejects.writeError(err)
		}
	}
	if r.documents() {
		if m.Chunk <= 0 {
			return errJournal
		}
		v.past = m
		return nil
	}
	v.begin = m
	if src.at != nil {
		v.read.Store(min(m.In, v.shareEnd) - v.from)
		return nil
	}
	skip := m.In - v.headAt
	if skip <= int64(len(v.head)) {
		v.head = v.head[skip:]
		return nil
	}
	skip -= int64(len(v.head))
	v.head = nil
	for skip > 0 {
		n, err := io.CopyN(io.Discard, src.stream, min(skip, 16<<20))
		skip -= n
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		if err != nil {
			return src.readError(err)
		}
	}
	return nil
}

// reached records that everything up to m is written. It saves the journal in the
// background about once a second.
func (j *journal) reached(m checkpoint) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.latest = m
	if j.saveErr != nil {
		return j.saveErr
	}
	if j.saving || time.Since(j.lastAt) < j.every {
		return nil
	}
	j.saving = true
	go func() {
		err := j.guardedSave(m)
		j.mu.Lock()
		j.saving, j.saveErr, j.lastAt = false, err, time.Now()
		j.saved.Broadcast()
		j.mu.Unlock()
	}()
	return nil
}

// end saves the final state: of a complete input if the run has several, else of a failed
// run. It ignores errors, since the run's own result matters more.
func (j *journal) end(done bool, m checkpoint, several bool) {
	j.mu.Lock()
	for j.saving {
		j.saved.Wait()
	}
	latest := j.latest
	j.mu.Unlock()
	switch {
	case done && several:
		_ = j.save(m, true) // if it fails, a resume processes the input again
	case !done && latest.Chunk > 0:
		// On a full disk this frees space for the journal.
		_ = j.t.f.Truncate(latest.Out)
		_ = j.save(latest, false) // if it fails, the previous journal is still valid
	}
}

// guardedSave is save with panics returned as errors, for a goroutine of its own.
func (j *journal) guardedSave(m checkpoint) (err error) {
	defer panics.Recover(&err)
	return j.save(m, false)
}

// save syncs the output and then replaces the journal with one for checkpoint m.
func (j *journal) save(m checkpoint, done bool) error {
	if err := j.t.f.Sync(); err != nil {
		return j.t.writeError(err)
	}
	if j.reject != nil {
		if err := j.reject.f.Sync(); err != nil {
			return j.reject.writeError(err)
		}
	}
	s := j.state
	s.Mark, s.Done = m, done
	var err error
	if s.Tail, err = j.tail(m.Out); err != nil {
		return j.t.writeError(err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic("bulk: " + err.Error())
	}
	if err := replaceFile(j.path, append(b, '\n')); err != nil {
		return fmt.Errorf("cannot write %s: %w", j.path, bareErr(err))
	}
	j.written = true
	return nil
}

// replaceFile replaces a small file atomically.
func replaceFile(path string, b []byte) error {
	temp := path + "-new"
	f, err := createOwn(temp)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// remove removes the journal.
func (j *journal) remove() {
	os.Remove(j.path)
	os.Remove(j.path + "-new")
}

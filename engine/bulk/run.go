package bulk

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/velonym/velonym/csvfast"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/panics"
)

// run is a Job under way.
type run struct {
	*Job
	sum     Summary
	started time.Time
	workers int

	groups   map[any]int // Plan or Remote → index of docs
	docs     []*suite.Document
	counters *counters // nil without policy document
	seed     maphash.Seed
	distMu   sync.Mutex
	dist     *distinct
	lastTo   time.Time // of the last progress
	rejected int64     // bytes of the file of rejected rows
	header   *string   // of the first input, while there are rejected rows
	targets  []*target // complete, waiting for their names
	rejects  *target
	mapping  *mappingFile
	jots     []*journal
	looking  bool // inputs are looked at before the first one is done
}

// Run does job and says what it did. On an error the Summary says how far it
// came; no output is left under its final name, except where the run had several
// and the error came while they were being named.
//
// A fault of the data is an *Error; ErrUsage, ErrInterrupted and ErrChanged are
// found with errors.Is. Cancelling ctx ends the run within a chunk's time.
func Run(ctx context.Context, job Job) (Summary, error) {
	r := &run{Job: &job, started: time.Now(), seed: maphash.MakeSeed()}
	r.dist = newDistinct(r.seed)
	err := r.prepare()
	if err == nil {
		err = r.guardedAll(ctx)
	}
	r.sum.Seconds = time.Since(r.started).Seconds()
	r.sum.Workers = r.workers
	r.sum.Distinct = min(r.dist.estimate(), r.sum.Values)
	return r.sum, err
}

// prepare checks the job and fills in defaults.
func (r *run) prepare() error {
	j := r.Job
	if j.Workers < 0 || j.MaxRow < 0 || j.MaxMemory < 0 {
		return usagef("--workers, --max-row and --max-memory must not be negative")
	}
	r.workers = j.Workers
	if r.workers == 0 {
		r.workers = runtime.GOMAXPROCS(0)
	}
	if j.MaxRow == 0 {
		j.MaxRow = defaultMaxRow
	}
	if j.MaxRow > 1<<30 {
		return usagef("--max-row: rows of more than 1 GiB are not read")
	}
	if j.MaxMemory == 0 {
		j.MaxMemory = 1 << 30
	}
	if j.chunk == 0 {
		j.chunk = defaultChunk
	}
	if j.OnError == "" {
		j.OnError = Fail
	}
	if j.RepeatedHeader == "" {
		j.RepeatedHeader = HeaderFail
	}
	switch {
	case j.Rejects != "" && j.OnError != Keep:
		return usagef("--rejects needs --on-error keep")
	case j.OnError == Keep && j.Rejects == "" && !j.DryRun:
		return usagef("--on-error keep keeps rows out of the output: say with --rejects where they go")
	case j.Header && j.NoHeader:
		return usagef("--header and --no-header say opposite things; give one")
	case j.Rejects == "-" || j.Mapping == "-":
		return usagef("--rejects and --mapping name files, not standard output")
	case j.Rejects != "" && j.Mapping != "" && filepath.Clean(j.Rejects) == filepath.Clean(j.Mapping):
		return usagef("--rejects and --mapping are the same file")
	}
	if len(j.Columns) == 0 {
		return usagef("no column named")
	}
	if len(j.Inputs) == 0 {
		j.Inputs = []string{"-"}
	}
	if j.Output == "" {
		j.Output = "-"
	}
	r.groups = map[any]int{}
	for _, c := range j.Columns {
		var key any = c.Plan
		switch {
		case (c.Plan == nil) == (c.Remote == nil):
			return usagef("column %s needs a plan, or a server, and not both", quoteName(c.Name))
		case c.Name == "" && c.Number <= 0:
			return usagef("a column needs a name or a number from 1")
		case c.Remote != nil:
			key = c.Remote
			c.Remote.warn = func(s string) { j.warn("%s", s) }
			if err := c.Remote.prepare(); err != nil {
				return err
			}
		}
		if _, ok := r.groups[key]; ok {
			continue
		}
		r.groups[key] = len(r.docs)
		if c.Remote != nil {
			for _, w := range c.Remote.caution() {
				j.warn("%s", w)
			}
		}
		var doc *suite.Document
		if c.Plan != nil {
			doc = c.Plan.NewDocument()
		}
		if doc != nil && j.Parts != 0 {
			return usagef("policy document counts over the whole file and cannot be done in parts")
		}
		r.docs = append(r.docs, doc)
	}
	if r.documents() {
		r.counters = &counters{seen: newDistinct(r.seed), limit: j.MaxMemory}
	}
	if j.Parts != 0 && (j.Parts < 1 || j.Part < 1 || j.Part > j.Parts) {
		return usagef("part %d of %d: parts count from 1 to their number", j.Part, j.Parts)
	}
	if j.Mapping != "" && len(j.Recipients) == 0 {
		return usagef("--mapping needs a recipient to be sealed to: --mapping-recipient age1…")
	}
	if j.DryRun && (j.Mapping != "" || j.Manifest) {
		return usagef("--dry-run writes no mapping file and no manifest")
	}
	if j.Manifest && (len(j.Inputs) != 1 || j.Inputs[0] == "-" || j.Output == "-") {
		return usagef("--manifest is written beside one output file of one input file: name both")
	}
	stdin := 0
	for _, in := range j.Inputs {
		if in == "-" {
			stdin++
		}
	}
	if stdin > 1 {
		return usagef("standard input is given twice")
	}
	return nil
}

// documents says whether a plan counts occurrences.
func (r *run) documents() bool {
	for _, d := range r.docs {
		if d != nil {
			return true
		}
	}
	return false
}

// outputs names the output of each input.
func (r *run) outputs() ([]string, error) {
	if r.Output != "-" {
		if st, err := os.Stat(r.Output); err == nil && st.IsDir() {
			var out []string
			taken := map[string]bool{}
			for _, in := range r.Inputs {
				if in == "-" {
					return nil, usagef("standard input has no name to give its output in folder %s; name a file", r.Output)
				}
				name := filepath.Base(in)
				if r.Compress != AutoCompression {
					if c := bySuffix(name); c != None {
						name = name[:len(name)-len(filepath.Ext(name))]
					}
					name += r.Compress.suffix()
				}
				if taken[name] {
					return nil, usagef("two inputs are named %s; their outputs would be one", name)
				}
				taken[name] = true
				out = append(out, filepath.Join(r.Output, name))
			}
			return out, nil
		}
	}
	if len(r.Inputs) > 1 && !r.DryRun {
		return nil, usagef("several inputs need an existing folder as output (-o FOLDER)")
	}
	out := make([]string, len(r.Inputs))
	for i := range out {
		out[i] = r.Output
	}
	return out, nil
}

// guardedAll is all, which has removed what it wrote when it panics: the panic is
// then an error.
func (r *run) guardedAll(ctx context.Context) (err error) {
	defer panics.Recover(&err)
	return r.all(ctx)
}

// all runs every input and then gives the outputs their names.
func (r *run) all(ctx context.Context) (err error) {
	outs, err := r.outputs()
	if err != nil {
		return err
	}
	keep := false // what was written, for a resume
	defer func() {
		for _, t := range r.targets {
			if keep {
				t.release()
			} else {
				t.discard()
			}
		}
		if r.rejects != nil {
			if keep {
				r.rejects.release()
			} else {
				r.rejects.discard()
			}
		}
		if r.mapping != nil {
			r.mapping.discard()
		}
		for _, j := range r.jots {
			if !keep {
				j.remove()
			}
		}
	}()
	if err := r.lookAtAll(ctx, outs); err != nil {
		return err
	}
	if err := r.openSides(); err != nil {
		return err
	}
	for i, in := range r.Inputs {
		if err := r.one(ctx, in, outs[i]); err != nil {
			keep = r.resumable(err)
			if keep {
				err = fmt.Errorf("%w; --resume goes on from here", err)
			}
			return err
		}
	}
	if err := r.replacedNothing(); err != nil {
		return err
	}
	if r.mapping != nil {
		if err := r.mapping.finish(); err != nil {
			return err
		}
	}
	if r.rejects != nil {
		if err := r.rejects.finish(); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		keep = r.resumable(ErrInterrupted)
		return ErrInterrupted
	}
	var man *manifest
	if r.Manifest {
		if err := checkFree(ManifestName(outs[0]), r.Force); err != nil {
			return err
		}
		if man, err = r.makeManifest(ctx); err != nil {
			return err
		}
	}
	// Sides first: who finds the output finds them too.
	if r.mapping != nil {
		if err := r.mapping.commit(r.Force); err != nil {
			return err
		}
	}
	if r.rejects != nil {
		if err := r.rejects.commit(r.Force); err != nil {
			return err
		}
	}
	for _, t := range r.targets {
		if err := t.commit(r.Force); err != nil {
			return err
		}
	}
	if man != nil {
		if err := man.write(ManifestName(outs[0])); err != nil {
			return err
		}
	}
	return nil
}

// lookAtAll opens each of several inputs, reads its head and checks its output's name
// before anything is written, so that the last one's fault does not cost the work on
// those before it. What can be read only once, such as a pipe, is left for its turn.
func (r *run) lookAtAll(ctx context.Context, outs []string) error {
	if len(r.Inputs) < 2 {
		return nil
	}
	r.looking = true
	defer func() { r.looking, r.sum.Inputs = false, nil }()
	for i, in := range r.Inputs {
		if st, err := os.Stat(in); in == "-" || err == nil && !st.Mode().IsRegular() && !st.IsDir() {
			continue
		}
		if err := r.one(ctx, in, outs[i]); err != nil {
			return err
		}
		if outs[i] == "-" || r.DryRun {
			continue
		}
		path, err := behindLink(outs[i])
		if err == nil {
			err = checkFree(path, r.Force)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// resumable says whether the run can go on later after err: there is a journal, and
// neither the data nor the program is at fault, nor is the right to the work over for
// good. A token that has ended, or has spent its budget, can be followed by another.
func (r *run) resumable(err error) bool {
	var e *Error
	var refused *refusal
	var spoilt damaged
	var broken *panics.Error
	if errors.As(err, &e) || errors.As(err, &spoilt) || errors.As(err, &broken) || errors.Is(err, ErrChanged) || errors.Is(err, ErrUsage) {
		return false
	}
	if errors.As(err, &refused) && !refused.resumable() {
		return false
	}
	for _, j := range r.jots {
		if j.written {
			return true
		}
	}
	return false
}

// openSides opens the files beside the outputs.
func (r *run) openSides() (err error) {
	if r.Mapping != "" {
		if err := r.checkSame(r.Mapping); err != nil {
			return err
		}
		if r.mapping, err = r.openMapping(); err != nil {
			return err
		}
	}
	if r.Rejects != "" && !r.DryRun {
		if err := r.checkSame(r.Rejects); err != nil {
			return err
		}
		var info os.FileInfo
		if st, err := os.Stat(r.Inputs[0]); err == nil {
			info = st
		}
		if r.rejects, err = r.openTarget(r.Rejects, info, r.Resume); err != nil {
			return err
		}
	}
	return nil
}

// checkSame refuses to write over an input, by whatever name.
func (r *run) checkSame(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return nil // not there, or openTarget will say
	}
	return r.checkSameInfo(path, st)
}

func (r *run) checkSameInfo(path string, st os.FileInfo) error {
	for _, in := range r.Inputs {
		var info os.FileInfo
		var err error
		if in == "-" {
			f, ok := r.Stdin.(*os.File)
			if r.Stdin == nil {
				f, ok = os.Stdin, true
			}
			if !ok {
				continue
			}
			info, err = f.Stat()
		} else {
			info, err = os.Stat(in)
		}
		if err == nil && info.Mode().IsRegular() && os.SameFile(info, st) {
			return usagef("%s is an input too; write to another file", path)
		}
	}
	return nil
}

// shape is what a run needs of a format of rows.
type shape struct {
	cut     cutter
	prefix  int   // bytes before the rows, passed through
	lines   int64 // in them
	data    bool  // there may be rows behind the prefix
	special []byte
	worker  func(s splicer) (finder, error)
	order   []int    // index of Job.Columns of each column found
	names   []string // of each
	paths   bool     // they are paths of JSON
	format  Format   // if another one than was asked for
	doc     *jsonDocument
	note    string // what a user should know of how the first row was taken
}

// one runs one input into one output.
func (r *run) one(ctx context.Context, in, out string) error {
	src, err := r.openSource(ctx, in)
	if err != nil {
		return err
	}
	defer src.done()
	r.sum.Inputs = append(r.sum.Inputs, src.name)
	if out == "-" {
		if f, ok := r.Stdout.(*os.File); ok || r.Stdout == nil {
			if f == nil {
				f = os.Stdout
			}
			if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
				if err := r.checkSameInfo(stdoutName, st); err != nil {
					return err
				}
			}
		}
	} else if err := r.checkSame(out); err != nil {
		return err
	}
	for _, side := range []string{r.Rejects, r.Mapping} {
		if side != "" && filepath.Clean(side) == filepath.Clean(out) {
			return usagef("output and %s are the same file", side)
		}
	}
	format := r.Format
	if format == Auto {
		format = byName(in)
		if src.isParquet() {
			format = Parquet
		}
	}
	if format == Parquet {
		if err := r.agree(src.name, in, out, format); err != nil {
			return err
		}
		if r.looking {
			return nil
		}
		return r.parquet(ctx, src, out)
	}
	head, all, sh, err := r.readHead(src, format)
	if err != nil {
		return err
	}
	if sh.format != Auto {
		format = sh.format
	}
	if err := r.agree(src.name, in, out, format); err != nil {
		return err
	}
	if r.looking {
		return nil
	}
	if sh.note != "" {
		r.warn("%s: %s", src.name, sh.note)
	}
	return r.rows(ctx, src, out, head, all, sh, format)
}

// readHead reads as much of the source as the format's first row needs.
func (r *run) readHead(src *source, format Format) (head []byte, all bool, sh *shape, err error) {
	size := 64 << 10
	for {
		if src.at != nil {
			n := min(int64(size), src.size)
			head = make([]byte, n)
			k, err := src.at.ReadAt(head, 0)
			if err != nil && err != io.EOF {
				return nil, false, nil, fmt.Errorf("%s: %w", src.name, bareErr(err))
			}
			head = head[:k]
			all = int64(k) == src.size
		} else {
			if len(head) == cap(head) {
				head = append(make([]byte, 0, size), head...)
			}
			n, err := src.stream.Read(head[len(head):cap(head)])
			head = head[:len(head)+n]
			switch {
			case err == io.EOF:
				all = true
			case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
				return nil, false, nil, ErrInterrupted
			case err != nil && src.packed != None:
				return nil, false, nil, src.unpackError(err)
			case err != nil:
				return nil, false, nil, fmt.Errorf("%s: %w", src.name, bareErr(err))
			}
		}
		err = refuseKind(src.name, head, all)
		if err == nil {
			sh, err = r.shapeOf(src.name, format, head, all)
		}
		if err != errMore {
			return head, all, sh, err
		}
		if int64(len(head)) > r.MaxRow {
			return nil, false, nil, &Error{File: src.name, Line: 1, Err: &overlong{max: r.MaxRow}}
		}
		if src.at != nil || len(head) == cap(head) {
			size *= 2
		}
	}
}

// shapeOf reads the head of an input; errMore asks for more of it.
func (r *run) shapeOf(name string, format Format, head []byte, all bool) (*shape, error) {
	switch {
	case format == NDJSON:
		return r.ndjsonShape(name, head, all)
	case format == JSON || looksLikeJSON(head):
		return r.jsonShape(name, format, head, all)
	}
	d := csvfast.Dialect{Comma: r.Comma, Quote: '"'}
	if d.Comma == 0 {
		d.Comma = ','
		if format == TSV {
			d.Comma = '\t'
		}
	}
	h, err := r.readCSVHead(name, head, all, d)
	if err != nil {
		return nil, err
	}
	d = h.d
	sh := &shape{cut: d, prefix: h.prefix, lines: h.lines, special: []byte{d.Comma, d.Quote},
		order: h.order, names: h.names, data: len(h.columns) > 0}
	if r.doubtful(h) {
		sh.note = fmt.Sprintf("line %d is taken for the header and stays as it is; give --no-header if it is data, or --header if it is the header", h.lines)
	}
	watch := r.newHeaderWatch(h)
	fields := h.fields
	if r.Ragged {
		fields = -1
	}
	sh.worker = func(s splicer) (finder, error) {
		sel, err := csvfast.NewSelector(d, h.columns, fields)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t := csvText{d: d, quote: d.Quote}
		s.text = t
		return &csvWorker{splicer: s, sep: t, sel: sel, watch: watch, ragged: r.Ragged, single: h.fields == 1}, nil
	}
	return sh, nil
}

// splicer makes the format-independent part of a worker.
func (r *run) splicer(sh *shape, seen *distinct) splicer {
	s := splicer{names: sh.names, onError: r.OnError, dry: r.DryRun, mapping: r.mapping != nil, again: r.Again, special: sh.special, seen: seen, ways: r.countWays()}
	index := map[int]int{} // group of the run → of this input
	for _, c := range sh.order {
		col := r.Columns[c]
		var key any = col.Plan
		if col.Remote != nil {
			key = col.Remote
		}
		g := r.groups[key]
		if _, ok := index[g]; !ok {
			index[g] = len(s.groups)
			s.groups = append(s.groups, newGroup(col, r.docs[g], sh.special))
		}
		s.owner = append(s.owner, index[g])
	}
	if len(r.Null) > 0 {
		s.null = map[string]struct{}{}
		for _, n := range r.Null {
			s.null[n] = struct{}{}
		}
	}
	return s
}

// rows runs an input of rows.
func (r *run) rows(ctx context.Context, src *source, out string, head []byte, all bool, sh *shape, format Format) (err error) {
	pack := r.packing(out)
	v := &conveyor{src: src, cut: sh.cut, size: r.chunk, max: r.MaxRow, workers: r.workers, ways: r.countWays()}
	if pack != None && r.chunk == defaultChunk {
		v.size = 1 << 20 // larger frames pack better
	}
	v.begin = mark{In: int64(sh.prefix), Tally: tally{Lines: sh.lines}}
	inFile := src.at != nil
	if v.doc = sh.doc; v.doc != nil && inFile {
		src.asStream(int64(len(head)))
	}
	if src.at != nil {
		v.lo, v.hi = int64(sh.prefix), src.size
		v.read.Store(v.lo)
		v.lanes = r.workers // the system reads ahead and writes behind
	} else {
		v.head, v.headAt, v.headEOF = head[sh.prefix:], int64(sh.prefix), all
		v.eager = pack == None && src.packed == None && !inFile
		v.lanes = r.workers + 2
	}
	remote := false
	for _, c := range r.Columns {
		if c.Remote != nil {
			remote = true
			v.workers, v.lanes = max(v.workers, c.Remote.Concurrency), max(v.lanes, c.Remote.Concurrency)
		}
	}
	if remote {
		v.eager = false
	}
	prefix := head[:sh.prefix]
	if r.Parts > 0 {
		if src.at == nil {
			return usagef("%s: only a regular file that is not compressed can be done in parts", src.name)
		}
		if r.Part > 1 {
			prefix = nil
		}
		if err := v.share(ctx, r.Part, r.Parts, r.workers); err != nil {
			return err
		}
	}
	t := &target{name: "nothing", w: io.Discard}
	var jot *journal
	var lead []byte
	var hold *held
	if !r.DryRun {
		if t, err = r.openTarget(out, src.info, r.Resume); err != nil {
			return err
		}
		if jot, err = r.openJournal(src, t, v, format, pack); err != nil {
			t.abandon(r.Resume)
			return err
		}
		r.targets = append(r.targets, t)
		r.sum.Outputs = append(r.sum.Outputs, t.name)
		if t.f == nil && sh.paths && !r.AllowMissing && r.Parts < 2 {
			hold = &held{w: t.w, n: len(sh.names)}
			t.w = hold
		}
		if lead, err = pack.frame(prefix); err != nil {
			return err
		}
		v.begin.Out = int64(len(lead))
	}
	if jot.resumes() {
		r.sum.Resumed = true
		if jot.state.Done {
			r.sum.add(jot.state.Mark.Tally, jot.state.Mark.Out)
			r.countColumns(jot.state.Mark.Tally, sh)
			r.rejected = jot.state.Mark.Reject
			return nil
		}
		if err := r.goOn(ctx, jot, t, v, src); err != nil {
			return err
		}
		if v.past.Chunk > 0 && r.rejects != nil {
			v.begin.Reject = int64(sh.prefix)
		}
	} else {
		if t.f != nil {
			if err := t.f.Truncate(0); err != nil {
				return t.writeError(err)
			}
		}
		if len(lead) > 0 {
			if _, err := t.w.Write(lead); err != nil {
				return t.writeError(err)
			}
		}
		if err := r.rejectsStart(v, head[:sh.prefix]); err != nil {
			return err
		}
	}
	before := v.begin
	if !jot.resumes() || v.past.Chunk > 0 {
		before = mark{Tally: tally{Lines: sh.lines}}
	}
	v.sink = func(c *chunk, at mark) error {
		if hold != nil {
			if err := hold.met(c.tally.Paths); err != nil {
				return t.writeError(err)
			}
		}
		return r.place(c, at, t, v)
	}
	if jot != nil {
		v.reached = func(m mark) error {
			switch past := v.past; {
			case m.Chunk < past.Chunk:
				return nil
			case m.Chunk == past.Chunk && (m.In != past.In || m.Out != past.Out || m.Reject != past.Reject):
				return errJournal
			}
			return jot.reached(m)
		}
	}
	var lanes []*distinct
	var laneErr error
	v.make = func() worker {
		r.distMu.Lock()
		defer r.distMu.Unlock()
		d := newDistinct(r.seed)
		lanes = append(lanes, d)
		f, err := sh.worker(r.splicer(sh, d))
		if err != nil {
			laneErr = err
			return failing{err}
		}
		var w worker = f.(worker)
		if r.documents() {
			w = &documentWorker{finder: f, counters: r.counters}
		}
		return pack.wrap(w)
	}
	end := v.begin
	if sh.data {
		end, err = v.run(ctx)
	}
	for _, d := range lanes {
		r.dist.merge(d)
	}
	r.sum.add(end.Tally, end.Out)
	r.countColumns(end.Tally, sh)
	r.warnKnown(src.name, end.Tally)
	r.sum.BytesIn += v.bytesIn()
	r.rejected = end.Reject
	if err == nil {
		err = laneErr
	}
	if err == nil && end.Chunk < v.past.Chunk {
		err = errJournal
	}
	if err == nil && end.Out == 0 && pack != None && !r.DryRun {
		// A compressed file of nothing is not an empty file.
		var empty []byte
		if empty, err = pack.always(nil); err == nil {
			_, err = t.w.Write(empty)
		}
	}
	if err == nil {
		err = src.unchanged()
	}
	if err == nil && sh.paths && end.Tally.Rows > 0 {
		err = end.Tally.Paths.missing(src.name, sh.names)
		if err != nil && (r.AllowMissing || r.Parts > 1) { // other shares may have it
			r.warn("%v", err)
			err = nil
		}
	}
	if err == nil && hold != nil {
		if err = hold.release(); err != nil {
			err = t.writeError(err)
		}
	}
	if err == nil && !r.DryRun {
		err = t.finish()
	}
	r.progress(v, before, true)
	if jot != nil {
		jot.end(err == nil, end, len(r.Inputs) > 1)
	}
	return err
}

// failing is a worker that could not be made.
type failing struct{ err error }

func (f failing) work(_ context.Context, c *chunk) { c.fail = f.err }

// add adds what was done to one input. Tallies of a resumed run hold what the
// run before did.
func (s *Summary) add(t tally, out int64) {
	s.Known += t.Known
	s.RepeatedHeaders += t.Headers
	s.Rows += t.Rows
	s.Values += t.Values
	s.Empty += t.Empty
	s.Errors += t.Errors
	s.Rejected += t.Rejected
	s.BytesOut += out
}

// place writes a chunk in its turn.
func (r *run) place(c *chunk, at mark, t *target, v *conveyor) error {
	for _, f := range c.faults {
		if len(r.sum.Failures) < maxFailures {
			r.sum.Failures = append(r.sum.Failures, Failure{v.src.name, at.Tally.Lines + f.line, f.column, f.code})
		}
	}
	r.warnHeaders(v.src.name, at.Tally, c.headers)
	r.progress(v, at, false)
	if at.Chunk < v.past.Chunk {
		return nil
	}
	if len(c.rejects) > 0 && r.rejects != nil {
		if _, err := r.rejects.f.WriteAt(c.rejects, at.Reject); err != nil {
			return r.rejects.writeError(err)
		}
	}
	if len(c.pairs) > 0 {
		if err := r.mapping.write(c.pairs); err != nil {
			return err
		}
	}
	var err error
	switch {
	case len(c.out) == 0:
	case t.f != nil:
		_, err = t.f.WriteAt(c.out, at.Out)
	default:
		_, err = t.w.Write(c.out)
	}
	if err != nil {
		return t.writeError(err)
	}
	return nil
}

// progress tells how far the run is, a few times a second.
func (r *run) progress(v *conveyor, at mark, last bool) {
	if r.Progress == nil {
		return
	}
	now := time.Now()
	if !last && now.Sub(r.lastTo) < 100*time.Millisecond {
		return
	}
	r.lastTo = now
	rows := r.sum.Rows
	if !last { // a finished input is in the sum already
		rows += at.Tally.Rows
	}
	total := v.src.size
	if v.src.at != nil {
		total = v.hi - v.from
	} else if v.src.info != nil && v.src.info.Mode().IsRegular() {
		total = v.src.info.Size()
	}
	r.Progress(Progress{File: v.src.name, Bytes: v.bytesIn(), Total: total, Rows: rows, Elapsed: now.Sub(r.started)})
}

// rejectsStart begins the file of rejected rows with the first input's header.
func (r *run) rejectsStart(v *conveyor, prefix []byte) error {
	if r.rejects == nil {
		return nil
	}
	if err := r.sameHeader(v.src.name, prefix); err != nil {
		return err
	}
	if r.rejected == 0 {
		if err := r.rejects.f.Truncate(0); err != nil {
			return r.rejects.writeError(err)
		}
		if _, err := r.rejects.f.WriteAt(prefix, 0); err != nil {
			return r.rejects.writeError(err)
		}
		r.rejected = int64(len(prefix))
	}
	v.begin.Reject = r.rejected
	return nil
}

// unchanged says whether a regular input is still the file that was opened.
func (s *source) unchanged() error {
	if s.info == nil || !s.info.Mode().IsRegular() {
		return nil
	}
	now, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, bareErr(err))
	}
	if now.Size() != s.info.Size() || !now.ModTime().Equal(s.info.ModTime()) {
		return fmt.Errorf("%s: %w: it was written to while it was read", s.name, ErrChanged)
	}
	return nil
}

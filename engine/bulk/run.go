package bulk

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/velonym/velonym/engine/bulk/internal/hyperloglog"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/panics"
)

// run is the state of a running Job.
type run struct {
	*Job
	sum     Summary
	started time.Time
	workers int

	groups    map[any]int // Plan or Remote → index of docs
	docs      []*suite.Document
	counters  *counters // nil without policy document
	seed      maphash.Seed
	distMu    sync.Mutex
	dist      *hyperloglog.Counter
	lastTo    time.Time // time of the last progress report
	rejected  int64     // size of the file of rejected rows
	header    *string   // of the first input, if rejected rows are kept
	targets   []*target // complete outputs, not yet renamed
	rejects   *target
	mapping   *mappingFile
	journals  []*journal
	checkOnly bool // processInput only checks the input: see checkInputs
}

// Run executes job and returns what it did. After an error the Summary covers the work up to
// it, and no output has its final name, unless there were several and the error occurred
// while they were being renamed.
//
// An error in the data is an *Error; ErrUsage, ErrInterrupted and ErrChanged are found with
// errors.Is. Cancelling ctx ends the run within the time of one chunk.
func Run(ctx context.Context, job Job) (Summary, error) {
	r := &run{Job: &job, started: time.Now(), seed: maphash.MakeSeed()}
	r.dist = hyperloglog.New(r.seed)
	err := r.prepare()
	if err == nil {
		err = r.guardedAll(ctx)
	}
	r.sum.Seconds = time.Since(r.started).Seconds()
	r.sum.Workers = r.workers
	r.sum.Distinct = min(r.dist.Estimate(), r.sum.Values)
	return r.sum, err
}

// guardedAll is runAll with a panic returned as an error. runAll has removed its files then.
func (r *run) guardedAll(ctx context.Context) (err error) {
	defer panics.Recover(&err)
	return r.runAll(ctx)
}

// runAll processes every input and then renames the outputs.
func (r *run) runAll(ctx context.Context) (err error) {
	outs, err := r.outputs()
	if err != nil {
		return err
	}
	keep := false // keep the partial outputs for a resume
	defer func() { r.cleanUp(keep) }()
	if err := r.checkInputs(ctx, outs); err != nil {
		return err
	}
	if err := r.openSideFiles(); err != nil {
		return err
	}
	for i, in := range r.Inputs {
		if err := r.processInput(ctx, in, outs[i]); err != nil {
			if keep = r.resumable(err); keep {
				err = &InterruptedError{err}
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
	if r.BeforeNaming != nil {
		if err := r.BeforeNaming(r.sum); err != nil {
			keep = r.resumable(err)
			return err
		}
	}
	return r.commit(ctx, outs)
}

// cleanUp removes the files that were not renamed, or with keep leaves them for a resume. A
// mapping file cannot be continued and is always removed.
func (r *run) cleanUp(keep bool) {
	drop := func(t *target) {
		if keep {
			t.release()
		} else {
			t.discard()
		}
	}
	for _, t := range r.targets {
		drop(t)
	}
	if r.rejects != nil {
		drop(r.rejects)
	}
	if r.mapping != nil {
		r.mapping.discard()
	}
	for _, j := range r.journals {
		if !keep {
			j.remove()
		}
	}
}

// commit renames the complete files. The mapping file and the rejected rows come first, so
// that they exist when an output appears.
func (r *run) commit(ctx context.Context, outs []string) (err error) {
	var man *manifest
	if r.Manifest {
		if err := checkFree(ManifestName(outs[0]), r.Force); err != nil {
			return err
		}
		if man, err = r.makeManifest(ctx); err != nil {
			return err
		}
	}
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
		return man.write(ManifestName(outs[0]))
	}
	return nil
}

// resumable reports whether the run can be resumed after err: there is a journal, neither the
// data nor the program is at fault, and another token can continue if a token caused err.
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
	for _, j := range r.journals {
		if j.written {
			return true
		}
	}
	return false
}

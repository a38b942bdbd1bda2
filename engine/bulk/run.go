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
	dist     *hyperloglog.Counter
	lastTo   time.Time // of the last progress
	rejected int64     // bytes of the file of rejected rows
	header   *string   // of the first input, while there are rejected rows
	targets  []*target // complete, waiting for their names
	rejects  *target
	mapping  *mappingFile
	journals []*journal
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

// guardedAll is runAll, which has removed what it wrote when it panics: the panic is
// then an error.
func (r *run) guardedAll(ctx context.Context) (err error) {
	defer panics.Recover(&err)
	return r.runAll(ctx)
}

// runAll runs every input and then gives the outputs their names.
func (r *run) runAll(ctx context.Context) (err error) {
	outs, err := r.outputs()
	if err != nil {
		return err
	}
	keep := false // what was written, for a resume
	defer func() { r.cleanUp(keep) }()
	if err := r.lookAtAll(ctx, outs); err != nil {
		return err
	}
	if err := r.openSides(); err != nil {
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

// cleanUp removes what has no name yet, or with keep leaves it for a resume. A mapping
// file cannot be taken up again.
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

// commit gives the complete files their names. Those beside the outputs come first: who
// finds an output finds them too.
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
	for _, j := range r.journals {
		if j.written {
			return true
		}
	}
	return false
}

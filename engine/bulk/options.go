package bulk

import (
	"path/filepath"
	"runtime"

	"github.com/velonym/velonym/engine/suite"
)

// prepare checks the job and fills in defaults.
func (r *run) prepare() error {
	j := r.Job
	if j.Workers < 0 || j.MaxRow < 0 || j.MaxMemory < 0 {
		return ErrNegative
	}
	r.workers = j.Workers
	if r.workers == 0 {
		r.workers = runtime.GOMAXPROCS(0)
	}
	if j.MaxRow == 0 {
		j.MaxRow = defaultMaxRow
	}
	if j.MaxRow > 1<<30 {
		return ErrMaxRow
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
		return ErrRejectsWithoutKeep
	case j.OnError == Keep && j.Rejects == "" && !j.DryRun:
		return ErrKeepWithoutRejects
	case j.Header && j.NoHeader:
		return ErrHeaderOrNot
	case j.Rejects == "-" || j.Mapping == "-":
		return ErrSideOnStdout
	case j.Rejects != "" && j.Mapping != "" && filepath.Clean(j.Rejects) == filepath.Clean(j.Mapping):
		return ErrSameSides
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
		return ErrNoRecipient
	}
	if j.DryRun && (j.Mapping != "" || j.Manifest) {
		return ErrDryRunSides
	}
	if j.Manifest && (len(j.Inputs) != 1 || j.Inputs[0] == "-" || j.Output == "-") {
		return ErrManifestFiles
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

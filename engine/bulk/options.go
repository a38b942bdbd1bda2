package bulk

import (
	"cmp"
	"path/filepath"
	"runtime"

	"github.com/velonym/velonym/engine/bulk/internal/hyperloglog"
	"github.com/velonym/velonym/engine/suite"
)

// prepare checks the job and fills in defaults.
func (r *run) prepare() error {
	j := r.Job
	if err := j.setDefaults(); err != nil {
		return err
	}
	if r.workers = j.Workers; r.workers == 0 {
		r.workers = runtime.GOMAXPROCS(0)
	}
	if err := j.checkChoices(); err != nil {
		return err
	}
	if err := r.groupColumns(); err != nil {
		return err
	}
	return j.checkFiles()
}

// setDefaults checks the job's limits and fills in those that are not set.
func (j *Job) setDefaults() error {
	if j.SkipLines < 0 {
		return usagef("the number of lines to skip must not be negative")
	}
	if j.Workers < 0 || j.MaxRow < 0 || j.MaxMemory < 0 {
		return ErrNegative
	}
	if j.MaxRow > 1<<30 {
		return ErrMaxRow
	}
	j.MaxRow = cmp.Or(j.MaxRow, defaultMaxRow)
	j.MaxMemory = cmp.Or(j.MaxMemory, 1<<30)
	j.chunk = cmp.Or(j.chunk, defaultChunk)
	j.OnError = cmp.Or(j.OnError, Fail)
	j.Numbers = cmp.Or(j.Numbers, NumbersRefuse)
	j.RepeatedHeader = cmp.Or(j.RepeatedHeader, HeaderFail)
	j.Output = cmp.Or(j.Output, "-")
	if len(j.Inputs) == 0 {
		j.Inputs = []string{"-"}
	}
	return nil
}

// checkChoices refuses options that contradict each other.
func (j *Job) checkChoices() error {
	switch {
	case j.Rejects != "" && j.OnError != Keep:
		return ErrRejectsWithoutKeep
	case j.OnError == Keep && j.Rejects == "" && !j.DryRun:
		return ErrKeepWithoutRejects
	case j.Header && j.NoHeader:
		return ErrHeaderOrNot
	case j.FindComma && j.Comma != 0:
		return ErrCommaOrFind
	case j.Rejects == "-" || j.Mapping == "-":
		return ErrSideFileOnStdout
	case j.Rejects != "" && j.Mapping != "" && filepath.Clean(j.Rejects) == filepath.Clean(j.Mapping):
		return ErrSameSideFiles
	case len(j.Columns) == 0:
		return usagef("no column named")
	}
	return nil
}

// groupColumns checks the columns and groups those that share a plan or a server.
func (r *run) groupColumns() error {
	j := r.Job
	r.groups = map[any]int{}
	for _, c := range j.Columns {
		switch {
		case (c.Plan == nil) == (c.Remote == nil):
			return usagef("column %s needs a plan, or a server, and not both", quoteName(c.Name))
		case c.Name == "" && c.Number <= 0:
			return usagef("a column needs a name or a number from 1")
		case c.Remote != nil:
			c.Remote.warn = func(s string) { j.warn("%s", s) }
			if err := c.Remote.prepare(); err != nil {
				return err
			}
		}
		if _, ok := r.groups[c.transform()]; ok {
			continue
		}
		r.groups[c.transform()] = len(r.docs)
		if c.Remote != nil {
			for _, w := range c.Remote.warnings() {
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
		r.counters = &counters{seen: hyperloglog.New(r.seed), limit: j.MaxMemory}
	}
	return nil
}

// transform returns the column's plan or server, which identifies its group.
func (c *Column) transform() any {
	if c.Remote != nil {
		return c.Remote
	}
	return c.Plan
}

// checkFiles refuses combinations of parts, inputs and outputs that are not possible.
func (j *Job) checkFiles() error {
	switch {
	case j.Parts != 0 && (j.Parts < 1 || j.Part < 1 || j.Part > j.Parts):
		return usagef("part %d of %d: parts count from 1 to their number", j.Part, j.Parts)
	case j.Mapping != "" && len(j.Recipients) == 0:
		return ErrNoRecipient
	case j.DryRun && (j.Mapping != "" || j.Manifest):
		return ErrDryRunSideFiles
	case j.Manifest && (len(j.Inputs) != 1 || j.Inputs[0] == "-" || j.Output == "-"):
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

// documents reports whether a column has policy document.
func (r *run) documents() bool {
	for _, d := range r.docs {
		if d != nil {
			return true
		}
	}
	return false
}

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/velonym/velonym/engine/bulk"
)

// progress shows the progress of a run: a bar on a terminal, otherwise a line every
// lineInterval.
type progress struct {
	w     io.Writer
	tty   bool
	quiet bool
	bar   *progressbar.ProgressBar
	file  string        // the bar's file
	last  time.Duration // when the last line was written, since the start of the run
}

const lineInterval = 10 * time.Second

func newProgress(w io.Writer, quiet bool) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, quiet: quiet, tty: ok && term.IsTerminal(int(f.Fd()))}
}

// show implements the Progress hook of bulk.Job.
func (p *progress) show(s bulk.Progress) {
	switch {
	case p.quiet:
	case p.tty:
		if p.bar == nil || p.file != s.File {
			p.done()
			p.file = s.File
			p.bar = newBar(p.w, s.Total)
		}
		p.bar.Describe(fmt.Sprintf("%s %.1f M rows/s", s.File, float64(s.Rows)/1e6/max(s.Elapsed.Seconds(), 1e-9)))
		_ = p.bar.Set64(s.Bytes) // failing to draw the bar must not stop the run
	case s.Elapsed-p.last >= lineInterval:
		p.last = s.Elapsed
		fmt.Fprintf(p.w, "%s: %d rows, %d MB read, %s\n", s.File, s.Rows, s.Bytes>>20, s.Elapsed.Round(time.Second))
	}
}

func newBar(w io.Writer, total int64) *progressbar.ProgressBar {
	if total <= 0 {
		total = -1 // progressbar's value for an unknown total
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth(),
		progressbar.OptionEnableColorCodes(false))
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

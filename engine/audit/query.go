package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Entry is a record read from a log; it may be one of the log's own.
type Entry struct {
	Seq     uint64    `json:"seq"`
	Prev    string    `json:"-"` // digest of the record before
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	Request string    `json:"request,omitempty"`
	JTI     string    `json:"jti,omitempty"`
	Project string    `json:"prj,omitempty"`
	Org     string    `json:"org,omitempty"`
	Source  string    `json:"src_prj,omitempty"`
	SrcOrg  string    `json:"src_org,omitempty"`
	Op      string    `json:"op,omitempty"`
	Values  int64     `json:"values"`
	Empty   int64     `json:"empty"`
	Bad     int64     `json:"bad"`
	Outcome string    `json:"outcome,omitempty"`
	Lost    int64     `json:"lost,omitempty"` // of a gap record
	Torn    int       `json:"torn,omitempty"` // of a recovered record

	Line []byte `json:"-"` // without its line end; valid only during the call of Query's visit
}

// Filter selects records. Its zero members select all.
type Filter struct {
	Project string // as target or source
	JTI     string
	Op      string
	Kind    string
	Outcome string
	Request string
	Since   time.Time // records of this time or later
	Until   time.Time // records before this time
}

func (f *Filter) selects(e *Entry) bool {
	return (f.Project == "" || e.Project == f.Project || e.Source == f.Project) &&
		(f.JTI == "" || e.JTI == f.JTI) &&
		(f.Op == "" || e.Op == f.Op) &&
		(f.Kind == "" || e.Kind == f.Kind) &&
		(f.Outcome == "" || e.Outcome == f.Outcome) &&
		(f.Request == "" || e.Request == f.Request) &&
		(f.Since.IsZero() || !e.Time.Before(f.Since)) &&
		(f.Until.IsZero() || e.Time.Before(f.Until))
}

// Query calls visit for each record of the files that f selects, in order. It checks each
// line's own digest but not the chain, which is the task of [VerifyLog], and skips lines
// that a crash left torn. The log may be written meanwhile.
func Query(f Filter, visit func(*Entry) error, paths ...string) error {
	for _, path := range paths {
		if err := queryFile(f, visit, path); err != nil {
			return err
		}
	}
	return nil
}

func queryFile(f Filter, visit func(*Entry) error, path string) error {
	return lines(path, func(n int, line []byte) error {
		p, err := parseLine(line)
		if errors.Is(err, errNotRecord) {
			return nil
		}
		var e Entry
		if err == nil {
			err = json.Unmarshal(line, &e)
		}
		if err != nil {
			return fmt.Errorf("audit: %s: line %d: %w: see 'velonym audit verify'", path, n, err)
		}
		if !f.selects(&e) {
			return nil
		}
		e.Prev, e.Line = p.Prev, line
		return visit(&e)
	})
}

// Export copies the lines from record first to record last unchanged, torn lines between
// them included, and returns the digest of the record before first.
func Export(w io.Writer, first, last uint64, paths ...string) (before string, err error) {
	within := false
	for _, path := range paths {
		err := lines(path, func(_ int, line []byte) error {
			p, err := parseLine(line)
			switch {
			case err == nil && p.Seq == first:
				within, before = true, p.Prev
			case err == nil && p.Seq > last:
				within = false
			}
			if !within {
				return nil
			}
			if _, err := w.Write(line); err != nil {
				return err
			}
			_, err = w.Write([]byte{'\n'})
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return before, nil
}

// lines calls visit for each complete line of a file, without its line end.
func lines(path string, visit func(n int, line []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, maxLine)
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF): // a rest without a line end is being written, or torn
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("audit: %s: line %d is longer than any record", path, n)
		case err != nil:
			return fmt.Errorf("audit: reading %s: %w", path, err)
		}
		if err := visit(n, line[:len(line)-1]); err != nil {
			return err
		}
	}
}

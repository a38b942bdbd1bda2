package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"time"
)

// Report summarises a verified chain.
type Report struct {
	Files   int
	Records int64
	First   uint64 // number of the first record; above 1 if older files were not given
	Seq     uint64 // number of the last record, 0 for an empty log
	Prev    string // digest of the record before the first, as the first holds it
	Head    string // digest of the last record
	Torn    int    // lines torn by a crash that "recovered" records account for
	Lost    int64  // records that could not be written, by the gap records

	Heads  int64    // signed heads among the records
	Signed uint64   // number of the last record that a signed head covers; 0: none
	Keys   [][]byte // public keys that signed heads
}

// BrokenError names the first record that breaks the chain.
type BrokenError struct {
	File   string // "" for a reader
	Line   int64  // from 1
	Seq    uint64 // expected number of the record
	Reason string
}

func (e *BrokenError) Error() string {
	s := "audit: "
	if e.File != "" {
		s += e.File + ": "
	}
	return s + fmt.Sprintf("line %d: record %d: %s", e.Line, e.Seq, e.Reason)
}

// parsed holds the members of a record that verification uses.
type parsed struct {
	Seq     uint64 `json:"seq"`
	Prev    string `json:"prev"`
	Time    string `json:"time"`
	Kind    string `json:"kind"`
	Torn    int    `json:"torn"`
	TornSum string `json:"torn_sum"`
	Lost    int64  `json:"lost"`
	Key     []byte `json:"key"`
	Sig     []byte `json:"sig"`
}

var (
	errNotRecord = errors.New("not a record")
	errSum       = errors.New("its content was changed: the digest at its end does not fit")
)

// parseLine parses a line without its line end and checks its own digest.
func parseLine(line []byte) (parsed, error) {
	var p parsed
	if len(line) < sumTail || !bytes.HasPrefix(line, []byte(`{"seq":`)) {
		return p, errNotRecord
	}
	body, tail := line[:len(line)-sumTail], line[len(line)-sumTail:]
	if !bytes.HasPrefix(tail, []byte(sumStart)) || !bytes.HasSuffix(tail, []byte(sumEnd)) {
		return p, errNotRecord
	}
	own := sha256.Sum256(body)
	if hex.EncodeToString(own[:]) != string(tail[len(sumStart):len(sumStart)+2*sha256.Size]) {
		return p, errSum
	}
	if err := json.Unmarshal(line, &p); err != nil {
		return p, errNotRecord
	}
	if p.Seq == 0 {
		return p, errNotRecord
	}
	if _, err := time.Parse(timeFormat, p.Time); err != nil {
		return p, errNotRecord
	}
	return p, nil
}

// chain is the state of a verification.
type chain struct {
	head    head
	started bool
	torn    []byte // a line that is not a record; the next must be its "recovered" record
	hasTorn bool
	tornAt  *BrokenError
	report  Report
	line    int64 // of the file being read
	trust   Trust
	whole   bool              // the first record must be a log's first, or follow an anchor
	heads   map[uint64]string // digests by number, of signed heads that were kept apart
}

// Anchor is the end of a chain at an earlier check, kept elsewhere. A log whose beginning
// or end was cut since does not match it.
type Anchor struct {
	Seq  uint64 // Report.Seq of the earlier check
	Head string // Report.Head of the earlier check
}

// Verify checks the chain of one file's content. For a broken chain it returns a
// [*BrokenError] and the report of the records before.
func Verify(r io.Reader) (Report, error) {
	var c chain
	err := c.read("", r)
	return c.finish(), err
}

// VerifyFiles checks a chain over several files, given in order. It may begin at any
// record: see [Report.First]. Records that are appended during the check are ignored.
func VerifyFiles(paths ...string) (Report, error) {
	var c chain
	for _, path := range paths {
		if err := c.readFile(path); err != nil {
			return c.finish(), err
		}
	}
	return c.finish(), nil
}

// Files lists the files of a log in the order of their records: the rotated ones beside
// it, unless compressed, and the one at path.
func Files(path string) ([]string, error) {
	names, err := rotatedFiles(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("audit: %w", err)
	}
	// Names given by other programs may sort in any order, so the first records decide.
	// A file without a readable first record comes first, so that an error names it.
	first := make(map[string]uint64, len(names))
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		line, err := bufio.NewReaderSize(f, 16<<10).ReadSlice('\n')
		f.Close()
		if err == nil {
			if p, err := parseLine(line[:len(line)-1]); err == nil {
				first[name] = p.Seq
			}
		}
	}
	sort.SliceStable(names, func(i, j int) bool { return first[names[i]] < first[names[j]] })
	if _, err := os.Stat(path); err == nil {
		names = append(names, path)
	} else if errors.Is(err, fs.ErrNotExist) && len(names) == 0 {
		return nil, fmt.Errorf("audit: %s: %w: there are no records, or they are elsewhere: name the file", path, fs.ErrNotExist)
	} else if len(names) == 0 {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return names, nil
}

func (c *chain) finish() Report {
	c.report.Seq = c.head.seq
	if c.head.seq > 0 {
		c.report.Head = hex.EncodeToString(c.head.sum[:])
	}
	return c.report
}

func (c *chain) readFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	// Under the lock no append is half done.
	if err := lockShared(f); err != nil {
		return fmt.Errorf("audit: locking %s: %w", path, err)
	}
	st, err := f.Stat()
	unlock(f)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return c.read(path, io.LimitReader(f, st.Size()))
}

// read continues the verification with the content of one file.
func (c *chain) read(name string, r io.Reader) error {
	c.report.Files++
	c.line = 0
	br := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for n := int64(1); ; n++ {
		line = line[:0]
		for {
			part, err := br.ReadSlice('\n')
			line = append(line, part...)
			if err == nil {
				break
			}
			if err == bufio.ErrBufferFull {
				if len(line) > maxLine {
					return c.broken(name, n, "the line is longer than any record")
				}
				continue
			}
			if err != io.EOF {
				return fmt.Errorf("audit: reading: %w", err)
			}
			if len(line) > 0 {
				return c.broken(name, n, "it is cut off: appending to the log closes it off if a crash did this")
			}
			if c.hasTorn {
				return c.tornAt
			}
			return nil
		}
		if err := c.next(name, n, line[:len(line)-1]); err != nil {
			return err
		}
	}
}

func (c *chain) broken(name string, n int64, reason string) *BrokenError {
	if c.hasTorn {
		return c.tornAt
	}
	return &BrokenError{File: name, Line: n, Seq: c.head.seq + 1, Reason: reason}
}

// next verifies one line.
func (c *chain) next(name string, n int64, line []byte) error {
	c.line = n
	p, err := parseLine(line)
	if c.hasTorn {
		// A torn line is accepted only if the next record accounts for it.
		sum := sha256.Sum256(c.torn)
		if err != nil || p.Kind != kindRecovered || p.Torn != len(c.torn) || p.TornSum != hex.EncodeToString(sum[:]) {
			return c.tornAt
		}
		c.hasTorn = false
		c.report.Torn++
	} else if err == nil && p.Kind == kindRecovered {
		return c.broken(name, n, "the torn line that it tells of is not before it")
	} else if err != nil {
		c.tornAt = c.broken(name, n, err.Error())
		c.torn, c.hasTorn = append(c.torn[:0], line...), true
		return nil
	}
	if !c.started {
		c.started = true
		c.report.First, c.report.Prev = p.Seq, p.Prev
		if len(p.Prev) != 2*sha256.Size {
			return c.broken(name, n, "it holds no digest of the record before it")
		}
		if err := c.begins(name, &p); err != nil {
			return err
		}
		if zero := hex.EncodeToString(make([]byte, sha256.Size)); (p.Seq == 1) != (p.Prev == zero) {
			return c.broken(name, n, "it is not the first record of a log and does not follow one")
		}
	} else {
		if p.Seq != c.head.seq+1 {
			return c.broken(name, n, fmt.Sprintf("it has number %d: records are missing, repeated or moved", p.Seq))
		}
		if p.Prev != hex.EncodeToString(c.head.sum[:]) {
			return c.broken(name, n, "the digest it holds of the record before it does not fit that record")
		}
	}
	c.head = head{seq: p.Seq, sum: sha256.Sum256(line)}
	c.report.Records++
	c.report.Lost += p.Lost
	return c.signed(name, n, &p)
}

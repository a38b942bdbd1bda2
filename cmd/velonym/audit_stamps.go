package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/audit/timestamp"
)

// stamps are the verified time-stamps of a log.
type stamps struct {
	n         int
	last      timestamp.Entry
	authority string // of last
	trusted   bool   // by --tsa-ca
}

// readStamps verifies the time-stamps beside a log whose last file is given, and adds the
// heads that they name to t.
func (f *auditVerify) readStamps(t *audit.Trust, last string) (s stamps, err error) {
	var roots *x509.CertPool
	if f.tsaCA != "" {
		pem, err := os.ReadFile(f.tsaCA)
		if err != nil {
			return s, fmt.Errorf("--tsa-ca: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return s, fmt.Errorf("--tsa-ca: %s holds no certificate in PEM", f.tsaCA)
		}
	}
	path := timestamp.Path(logOf(last))
	list, err := timestamp.Read(path)
	if err != nil {
		return s, err
	}
	for _, e := range list {
		stamp, err := e.Verify(roots)
		if err != nil {
			return s, fmt.Errorf("audit: %s: the time-stamp of record %d: %w", path, e.Seq, err)
		}
		e.Time = stamp.Time.UTC()
		s.n++
		if e.Seq >= s.last.Seq {
			s.last, s.authority = e, stamp.Authority()
		}
		t.Stamped = append(t.Stamped, audit.Anchor{Seq: e.Seq, Head: e.Digest})
	}
	s.trusted = roots != nil
	return s, nil
}

// print writes up to which record the log is time-stamped.
func (s *stamps) print(out io.Writer, r audit.Report) {
	if s.n == 0 {
		return
	}
	fmt.Fprintf(out, "time-stamped up to record %d, %s by %s", s.last.Seq, s.last.Time.Format(time.RFC3339), printable(s.authority))
	if !s.trusted {
		fmt.Fprint(out, "; whose certificate that is was not checked: give those you trust with --tsa-ca")
	}
	fmt.Fprintf(out, "; %s since\n", counted(int64(r.Seq-min(s.last.Seq, r.Seq)), "record"))
}

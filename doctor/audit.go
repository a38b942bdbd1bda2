package doctor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/velonym/velonym/engine/audit"
)

// wholeLog is the size up to which all files of a log are read; of a larger one it is
// the last.
const wholeLog = 128 << 20

// checkAuditLog checks the chain of records and holds it against the signed heads.
func checkAuditLog(ctx context.Context, p *patient) []Result {
	const check, headsCheck = "audit-chain", "audit-heads"
	if p.Audit == "" {
		return []Result{skip(check, "no record is kept")}
	}
	t := audit.Trust{}
	heads, torn, err := audit.ReadHeads(audit.HeadsPath(p.Audit))
	if err != nil {
		return []Result{fail(headsCheck, "move the heads file away, and find out who changed it", "%v", err)}
	}
	t.Heads = heads
	if r, bad := p.keptHeads(ctx, &t); bad {
		return []Result{r}
	}
	if _, err := os.Stat(p.Audit); errors.Is(err, fs.ErrNotExist) {
		if n := len(t.Heads); n > 0 {
			return []Result{fail(check, "find out who removed it; restore it from where it is archived", "there is no audit log at %s, though %d records of it were signed", p.Audit, t.Heads[n-1].Seq)}
		}
		return []Result{skip(check, "there is no audit log at %s yet", p.Audit)}
	}
	files, all, err := filesToRead(p.Audit, &t)
	if err != nil {
		return []Result{fail(check, "see what the text says", "%v", err)}
	}
	r, err := audit.VerifyLog(t, files...)
	if err != nil {
		return []Result{fail(check, "keep it as it is, and see 'velonym audit verify' for more; find out who changed it", "%v", err)}
	}
	results := []Result{ok(check, "%d records, the chain holds", r.Records-r.Heads)}
	switch {
	case r.Lost > 0:
		results[0] = warn(check, "see that the disk of the log has room; 'velonym audit verify' says more", "the chain holds, and %d records could not be written", r.Lost)
	case !all:
		results[0].Detail += "; only the last file was read, as they are many: 'velonym audit verify' reads all"
	}
	switch {
	case len(heads) == 0:
		results = append(results, warn(headsCheck, "let a server of this version run; it signs heads", "no signed heads: whether the end was cut off cannot be known"))
	case torn > 1:
		results = append(results, warn(headsCheck, "see that its disk has room", "signed up to record %d; %d lines of the heads file are torn", r.Signed, torn))
	case len(t.Keys) == 0:
		results = append(results, skip(headsCheck, "signed up to record %d; by whom was not checked: %s", r.Signed, p.why))
	default:
		results = append(results, ok(headsCheck, "signed up to record %d, %d records since", r.Signed, r.Seq-r.Signed))
	}
	return results
}

// keptHeads adds to t the keystore's key and the last head that the keystore keeps of the
// log. bad says that another log stands in its place.
func (p *patient) keptHeads(ctx context.Context, t *audit.Trust) (r Result, bad bool) {
	const check = "audit-heads"
	if p.ks == nil {
		return Result{}, false
	}
	key, err := p.ks.ReceiptKey(ctx)
	if err != nil {
		return fail(check, remedyOf(err), "%v", plain(err)), true
	}
	t.Keys = [][]byte{key}
	list, err := p.ks.LogHeads(ctx)
	if err != nil {
		return fail(check, remedyOf(err), "%v", plain(err)), true
	}
	for _, h := range list {
		switch {
		case h.Log != p.AuditName:
		case !h.Replaced.IsZero():
			return fail(check, "see 'velonym audit verify', and check the former log where it is now", "the log was begun anew: before, it had at least %d records, signed last at %s", h.Seq, h.Time), true
		default:
			t.Heads = append(t.Heads, audit.Head{Seq: h.Seq, Digest: h.Digest, Time: h.Time, Key: h.Key, Signature: h.Signature})
		}
	}
	return Result{}, false
}

// filesToRead lists the log's files, or the last one when they are large, which t then
// takes to follow what it says it follows.
func filesToRead(path string, t *audit.Trust) (files []string, all bool, err error) {
	if files, err = audit.Files(path); err != nil {
		return nil, false, err
	}
	var total int64
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			return nil, false, err
		}
		total += st.Size()
	}
	if total <= wholeLog || len(files) < 2 {
		return files, true, nil
	}
	files = files[len(files)-1:]
	f, err := os.Open(files[0])
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadBytes('\n')
	if err != nil {
		return nil, false, err
	}
	var first struct {
		Seq  uint64 `json:"seq"`
		Prev string `json:"prev"`
	}
	if err := json.Unmarshal(line, &first); err != nil {
		return nil, false, err
	}
	if first.Seq > 1 {
		t.Anchors = append(t.Anchors, audit.Anchor{Seq: first.Seq - 1, Head: first.Prev})
		// Heads of records in files that are not read prove nothing here.
		kept := t.Heads[:0:0]
		for _, h := range t.Heads {
			if h.Seq >= first.Seq {
				kept = append(kept, h)
			}
		}
		t.Heads = kept
	}
	return files, false, nil
}

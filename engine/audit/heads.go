package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// Signer signs the heads of a log with Ed25519 (RFC 8032). Its methods are called while
// the log is locked, so they must not access files or the network.
type Signer interface {
	Sign(message []byte) []byte
	PublicKey() []byte
}

// Head is the signed end of a chain at one time. The log holds it as a record of kind
// "head", which signs the record before it, and the heads file beside the log holds it
// too. The signature covers the text "velonym audit head 1", the number, the digest and
// the time, each followed by a line feed.
type Head struct {
	Seq       uint64 `json:"seq"`  // number of the last record that is signed
	Digest    string `json:"head"` // its digest, as the next record's prev
	Time      string `json:"time"`
	Key       []byte `json:"key"` // Ed25519, base64
	Signature []byte `json:"sig"`
}

// HeadsPath returns the name of the heads file of the log at path. Keep copies of it on
// another machine: whoever can write both files can cut both.
func HeadsPath(path string) string { return path + ".heads" }

// A head is signed after defaultHeadEvery records, but not within leastHeadGap of the
// last one; at the latest defaultHeadPeriod after a record; and by Close.
const (
	defaultHeadEvery  = 1000
	defaultHeadPeriod = 30 * time.Second
	leastHeadGap      = time.Second
)

// Message returns the text that the signature covers, and that a time-stamp may cover.
func (h *Head) Message() []byte {
	return fmt.Appendf(nil, "velonym audit head 1\n%d\n%s\n%s\n", h.Seq, h.Digest, h.Time)
}

// verify checks the signature, and if keys is not empty, that one of them made it.
func (h *Head) verify(keys [][]byte) error {
	if len(h.Key) != ed25519.PublicKeySize || len(h.Signature) != ed25519.SignatureSize || !ed25519.Verify(h.Key, h.Message(), h.Signature) {
		return errors.New("its signature does not fit")
	}
	for _, k := range keys {
		if bytes.Equal(k, h.Key) {
			return nil
		}
	}
	if len(keys) > 0 {
		return fmt.Errorf("it is signed by the key %s, which is none of those trusted", base64.StdEncoding.EncodeToString(h.Key))
	}
	return nil
}

// signHead signs the chain up to h and returns the head and the body of its record.
func (l *Log) signHead(h head) (Head, []byte) {
	s := Head{Seq: h.seq, Digest: hex.EncodeToString(h.sum[:]), Time: l.opt.Now().UTC().Format(timeFormat), Key: l.opt.Signer.PublicKey()}
	s.Signature = l.opt.Signer.Sign(s.Message())
	b := append([]byte(nil), `"time":"`...)
	b = append(b, s.Time...)
	b = append(b, `","kind":"`+kindHead+`","key":"`...)
	b = base64.StdEncoding.AppendEncode(b, s.Key)
	b = append(b, `","sig":"`...)
	b = base64.StdEncoding.AppendEncode(b, s.Signature)
	return s, append(b, '"')
}

// headDue reports whether a signed head must follow the next batch, of n records; l.mu is
// held.
func (l *Log) headDue(n int) bool {
	if l.opt.Signer == nil || l.unsigned+n == 0 {
		l.headNow = false
		return false
	}
	return l.headNow || l.unsigned+n >= l.opt.HeadEvery && time.Since(l.lastHead) >= leastHeadGap
}

// headWritten updates the state of heads after a batch of n records, and starts the
// publication of a new head; l.mu is held.
func (l *Log) headWritten(n int, batch uint64, signed *Head) {
	if signed == nil {
		l.unsigned += n
		if l.opt.Signer != nil && n > 0 && !l.headTimed {
			l.headTimed = true
			l.headTimer = time.AfterFunc(l.opt.HeadPeriod, l.signNow)
		}
		return
	}
	l.unsigned, l.headNow, l.lastHead = 0, false, time.Now()
	l.toPublish, l.publishBatch = signed, batch
	if !l.publishing {
		l.publishing = true
		l.publishers.Go(l.publish)
	}
}

// signNow signs the records since the last head.
func (l *Log) signNow() {
	l.mu.Lock()
	l.headTimed = false
	if l.closed || l.unsigned == 0 {
		l.mu.Unlock()
		return
	}
	l.headNow = true
	_ = l.commit(true) // l.err keeps a failure; the next head covers the same records
}

// publish appends the newest head to the heads file once its records are on disk, until
// there is no newer one.
func (l *Log) publish() {
	for {
		l.mu.Lock()
		h, batch := l.toPublish, l.publishBatch
		l.toPublish = nil
		if h == nil {
			l.publishing = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		err := l.waitSynced(batch)
		if err == nil {
			err = appendHead(HeadsPath(l.path), h)
		}
		if err == nil && l.opt.OnHead != nil {
			err = l.opt.OnHead(*h)
		}
		l.mu.Lock()
		l.headErr = err
		l.mu.Unlock()
		if err != nil && l.opt.HeadFailed != nil {
			l.opt.HeadFailed(err)
		}
	}
}

// appendHead appends a line to the heads file.
func appendHead(path string, h *Head) error {
	line, err := json.Marshal(h)
	if err == nil {
		err = AppendLine(path, line)
	}
	if err != nil {
		return fmt.Errorf("audit: heads: %w", err)
	}
	return nil
}

// ReadHeads reads a heads file; a missing file has no heads. It skips lines that a crash
// left torn and returns their number.
func ReadHeads(path string) (heads []Head, torn int, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("audit: heads: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var h Head
		if err := json.Unmarshal(lines.Bytes(), &h); err != nil || h.Seq == 0 {
			torn++
			continue
		}
		heads = append(heads, h)
	}
	if err := lines.Err(); err != nil {
		return nil, 0, fmt.Errorf("audit: %s: line %d is no head: %w", path, len(heads)+torn+1, err)
	}
	return heads, torn, nil
}

// Trust is the evidence that a log is checked against.
type Trust struct {
	// Anchors are ends of the chain at earlier checks. The chain must contain each, or
	// begin after it, and must begin at record 1 or directly after an anchor.
	Anchors []Anchor
	// Heads are signed heads that were kept apart from the log, which must match them.
	Heads []Head
	// Stamped are ends of the chain that verified time-stamps name. The chain must
	// contain each or begin after it. Unlike anchors they do not excuse a missing
	// beginning: anyone can have anything stamped.
	Stamped []Anchor
	// Keys are the public keys that may sign heads; empty: any.
	Keys [][]byte
	// Older is set if the given files are not the log's last, so that heads of later
	// records are not required.
	Older bool
}

// VerifyLog checks the chain over the files, from its first record on, against t. For a
// log that is not complete it returns a [*BrokenError].
func VerifyLog(t Trust, paths ...string) (Report, error) {
	c := chain{trust: t, whole: true, heads: map[uint64]string{}}
	last := uint64(0)
	for i := range t.Heads {
		h := &t.Heads[i]
		if err := h.verify(t.Keys); err != nil {
			return Report{}, fmt.Errorf("audit: heads: the head of record %d: %w", h.Seq, err)
		}
		if d, ok := c.heads[h.Seq]; ok && d != h.Digest {
			return Report{}, fmt.Errorf("audit: heads: there are two heads of record %d, and they differ: two logs were written under this name", h.Seq)
		}
		c.heads[h.Seq] = h.Digest
		c.report.addKey(h.Key)
		last = max(last, h.Seq)
	}
	for _, path := range paths {
		if err := c.readFile(path); err != nil {
			return c.finish(), err
		}
	}
	r := c.finish()
	what := "an anchor"
	if last > r.Seq && !t.Older {
		what = "a signed head"
	} else {
		last = 0
	}
	for _, a := range t.Anchors {
		last = max(last, a.Seq)
	}
	for _, a := range t.Stamped {
		if a.Seq > last && !t.Older {
			last, what = a.Seq, "a time-stamp"
		}
	}
	if last > r.Seq {
		e := &BrokenError{Line: c.line + 1, Seq: r.Seq + 1, Reason: fmt.Sprintf("the log ends here, though %s shows that it had %d records: at least %d are missing", what, last, last-r.Seq)}
		if len(paths) > 0 {
			e.File = paths[len(paths)-1]
		}
		return r, e
	}
	return r, nil
}

// begins checks that the chain's first record is the first of a log or follows an anchor.
func (c *chain) begins(name string, p *parsed) error {
	if p.Seq == 1 || !c.whole {
		return nil
	}
	for _, a := range c.trust.Anchors {
		if a.Seq+1 != p.Seq {
			continue
		}
		if a.Head != p.Prev {
			return c.broken(name, 1, fmt.Sprintf("it does not follow record %d as that was before", a.Seq))
		}
		return nil
	}
	return &BrokenError{File: name, Line: 1, Seq: 1, Reason: "the log begins with record " + strconv.FormatUint(p.Seq, 10) +
		": those before it are not here: give their files too, or --anchor " + strconv.FormatUint(p.Seq-1, 10) + ":DIGEST as the check of those printed it"}
}

// signed checks a record of the chain against the anchors, the heads that were kept apart
// and, if it is a head, its own signature.
func (c *chain) signed(name string, n int64, p *parsed) error {
	digest := hex.EncodeToString(c.head.sum[:])
	rewritten := &BrokenError{File: name, Line: n, Seq: p.Seq, Reason: "it is not the record that had this number before: the log was written anew up to here at least"}
	for _, a := range c.trust.Anchors {
		if a.Seq == p.Seq && a.Head != digest {
			return rewritten
		}
	}
	for _, a := range c.trust.Stamped {
		if a.Seq == p.Seq && a.Head != digest {
			rewritten.Reason = "it is not the record that a time-stamp names: the log was written anew up to here at least"
			return rewritten
		}
	}
	if d, ok := c.heads[p.Seq]; ok {
		if d != digest {
			rewritten.Reason = "it is not the record that a signed head names: the log was written anew up to here at least"
			return rewritten
		}
		c.report.Signed = p.Seq
	}
	if p.Kind != kindHead {
		return nil
	}
	h := Head{Seq: p.Seq - 1, Digest: p.Prev, Time: p.Time, Key: p.Key, Signature: p.Sig}
	if err := h.verify(c.trust.Keys); err != nil {
		return &BrokenError{File: name, Line: n, Seq: p.Seq, Reason: "a signed head: " + err.Error()}
	}
	c.report.Heads++
	c.report.Signed = p.Seq - 1
	c.report.addKey(p.Key)
	return nil
}

// addKey adds a key to Keys unless it is there.
func (r *Report) addKey(key []byte) {
	for _, k := range r.Keys {
		if bytes.Equal(k, key) {
			return
		}
	}
	r.Keys = append(r.Keys, key)
}

package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const metaLogHeads = "log heads" // last signed head of every audit log, as JSON

// LogHead is the last signed head of an audit log that the keystore knows. It detects a
// log and a heads file that were cut by someone who cannot write to the keystore. This
// package does not verify the signature: see audit.Head.
type LogHead struct {
	Log       string    `json:"log"` // machine and path
	Seq       uint64    `json:"seq"`
	Digest    string    `json:"head"`
	Time      string    `json:"time"`
	Key       []byte    `json:"key"`
	Signature []byte    `json:"sig"`
	Replaced  time.Time `json:"replaced,omitzero"` // when the log was found shorter than this head; zero while the head is in force
}

// KeepLogHead stores the head of a log unless a later one is stored: several processes
// sign heads of one log. Errors: ErrReadOnly.
func (ks *Keystore) KeepLogHead(ctx context.Context, h LogHead) error {
	return ks.store.Update(ctx, func(tx Tx) error {
		list, err := ks.readLogHeads(tx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(o LogHead) bool { return o.Log == h.Log && o.Replaced.IsZero() })
		switch {
		case i < 0:
			list = append(list, h)
		case list[i].Seq >= h.Seq:
			return nil
		default:
			list[i] = h
		}
		return writeLogHeads(tx, list)
	})
}

// ReplaceLogHead notes that a log was cut or restarted after h, the head in force. The
// keystore keeps h besides the next head of that log. Errors: ErrReadOnly.
func (ks *Keystore) ReplaceLogHead(ctx context.Context, h LogHead) error {
	return ks.store.Update(ctx, func(tx Tx) error {
		list, err := ks.readLogHeads(tx)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].Log == h.Log && list[i].Replaced.IsZero() && list[i].Seq == h.Seq {
				list[i].Replaced = storeTime(ks.now())
			}
		}
		return writeLogHeads(tx, list)
	})
}

// LogHeads returns the stored heads, sorted by log. Of one log, the replaced heads come
// first, the oldest first.
func (ks *Keystore) LogHeads(ctx context.Context) (list []LogHead, err error) {
	err = ks.store.View(ctx, func(tx Tx) error {
		list, err = ks.readLogHeads(tx)
		return err
	})
	slices.SortStableFunc(list, func(a, b LogHead) int { return strings.Compare(a.Log, b.Log) })
	return list, err
}

// ForgetLog drops the replaced heads of a log, and with all also the head in force, once
// an operator has accounted for the records. It returns the number of dropped heads.
// Errors: ErrNotFound.
func (ks *Keystore) ForgetLog(ctx context.Context, log string, all bool) (n int, err error) {
	err = ks.store.Update(ctx, func(tx Tx) error {
		list, err := ks.readLogHeads(tx)
		if err != nil {
			return err
		}
		kept := slices.DeleteFunc(slices.Clone(list), func(h LogHead) bool { return h.Log == log && (all || !h.Replaced.IsZero()) })
		if n = len(list) - len(kept); n == 0 {
			return fmt.Errorf("%w: no head of a log %q to forget", ErrNotFound, log)
		}
		return writeLogHeads(tx, kept)
	})
	return n, err
}

func (ks *Keystore) readLogHeads(tx Tx) ([]LogHead, error) {
	doc, err := tx.Meta(metaLogHeads)
	if err != nil || doc == nil {
		return nil, err
	}
	var list []LogHead
	if err := json.Unmarshal(doc, &list); err != nil {
		return nil, ks.tampered("the heads of audit logs cannot be read")
	}
	return list, nil
}

// maxLogHeads bounds the list of heads, which grows if every container has a host name of
// its own. The heads that were signed last are kept.
const maxLogHeads = 256

func writeLogHeads(tx Tx, list []LogHead) error {
	if len(list) > maxLogHeads {
		slices.SortStableFunc(list, func(a, b LogHead) int { return strings.Compare(b.Time, a.Time) })
		list = list[:maxLogHeads]
	}
	doc, err := json.Marshal(list)
	return errors.Join(err, tx.SetMeta(metaLogHeads, doc))
}

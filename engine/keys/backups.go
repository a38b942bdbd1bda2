package keys

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

const metaBackups = "backups" // those that are known, as JSON

// KnownBackup is a copy of the keystore that is known to exist: it holds the wrapped
// secrets of then, whatever was destroyed since.
type KnownBackup struct {
	Place string    `json:"place"` // machine and path
	Made  time.Time `json:"made"`
}

// AddBackup notes a backup.
func (ks *Keystore) AddBackup(ctx context.Context, b KnownBackup) error {
	return ks.store.Update(ctx, func(tx Tx) error {
		list, err := ks.readBackups(tx)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(o KnownBackup) bool { return o.Place == b.Place })
		return writeBackups(tx, append(list, b))
	})
}

// Backups lists the backups that are known, in the order in which they were made.
func (ks *Keystore) Backups(ctx context.Context) (list []KnownBackup, err error) {
	err = ks.store.View(ctx, func(tx Tx) error {
		list, err = ks.readBackups(tx)
		return err
	})
	return list, err
}

// ForgetBackups takes the backups at these places off the list: they are gone.
func (ks *Keystore) ForgetBackups(ctx context.Context, places ...string) error {
	return ks.store.Update(ctx, func(tx Tx) error {
		list, err := ks.readBackups(tx)
		if err != nil {
			return err
		}
		return writeBackups(tx, slices.DeleteFunc(list, func(b KnownBackup) bool { return slices.Contains(places, b.Place) }))
	})
}

func (ks *Keystore) readBackups(tx Tx) ([]KnownBackup, error) {
	doc, err := tx.Meta(metaBackups)
	if err != nil || doc == nil {
		return nil, err
	}
	var list []KnownBackup
	if err := json.Unmarshal(doc, &list); err != nil {
		return nil, ks.tampered("the list of backups cannot be read")
	}
	slices.SortStableFunc(list, func(a, b KnownBackup) int { return a.Made.Compare(b.Made) })
	return list, nil
}

func writeBackups(tx Tx, list []KnownBackup) error {
	doc, err := json.Marshal(list)
	return errors.Join(err, tx.SetMeta(metaBackups, doc))
}

// backupsOf lists the known backups that hold secrets made at or after a time: those
// made later.
func (ks *Keystore) backupsOf(tx Tx, created time.Time) (list []KnownBackup, err error) {
	list, err = ks.readBackups(tx)
	return slices.DeleteFunc(list, func(b KnownBackup) bool { return b.Made.Before(created.Truncate(time.Second)) }), err
}

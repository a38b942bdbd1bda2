package postgres

import (
	"context"
	"errors"

	"github.com/velonym/velonym/engine/keys"
)

// Restore has fill put rows into an empty keystore in the database at url, in one
// transaction. It makes the tables unless they are there, as after a crash of an earlier
// restore; fill must refuse a keystore that is in use, as [keys.Restore] does.
func Restore(ctx context.Context, url string, fill func(keys.Store) error) error {
	store, err := Create(ctx, url)
	if errors.Is(err, keys.ErrKeystoreExists) {
		store, err = Open(ctx, url)
	}
	if err != nil {
		return err
	}
	return errors.Join(fill(store), store.Close())
}

package keys

import "time"

// BackupTx is the part of a [Tx] that backup and restore alone use.
type BackupTx interface {
	// Metas calls f for every entry of the meta table. f does not keep value.
	Metas(f func(name string, value []byte)) error
	// Budgets calls f for every budget.
	Budgets(f func(jti string, spent int64, exp time.Time)) error
	// ReceiptsAfter lists the receipts that were added after the one of that number,
	// and returns the number of the last one.
	ReceiptsAfter(id int64) (docs [][]byte, last int64, err error)
	// SetChange sets the change counter of a store that is being restored.
	SetChange(n uint64) error
}

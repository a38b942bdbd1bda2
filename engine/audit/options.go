package audit

import (
	"time"
)

// Options of a log. The zero value is a log that is never rotated, and whose
// records are handed to the system before Append returns.
type Options struct {
	// MaxSize rotates the file before it would grow beyond so many bytes: it
	// is renamed to its name, a dot and the number of its last record in
	// twelve digits. 0 means never.
	MaxSize int64

	// Delay lets records without Sync wait in memory for so long, or until
	// 24 KiB are waiting or a record with Sync comes; a crash of the process
	// loses them. Append then returns before they are written, unless 256 KiB
	// are waiting. The space that they will take is set aside on the disk
	// before (fallocate), so that a full disk refuses the first call; where that
	// cannot be done, as on a disk with little space, on NFS before 4.2 and on
	// other systems than Linux, Append returns when its record is written.
	// Another failure shows in [Log.Err], in later calls and as a gap record.
	// 0 means no delay.
	Delay time.Duration

	// Now is the clock; time.Now when nil.
	Now func() time.Time

	// Signer signs heads: see [Head]. Nil: none are signed.
	Signer Signer
	// A head is signed after HeadEvery records (0: 1,000), though at most once a
	// second, at the latest HeadPeriod (0: 30 s) after a record, and by Close.
	HeadEvery  int
	HeadPeriod time.Duration
	// OnHead gets every head when it is on disk and in the heads file, in order,
	// to keep it elsewhere too; nil: nobody does.
	OnHead func(Head) error
	// HeadFailed gets the error of a head that could not be kept. The next one
	// covers the same records. Nil: only Close tells.
	HeadFailed func(error)
}

package audit

import (
	"time"
)

// Options of a log. With the zero value the file is never rotated, and Append writes its
// record before it returns.
type Options struct {
	// MaxSize is the size in bytes above which the file is rotated: renamed to its
	// name, a dot and the number of its last record in twelve digits. 0: never.
	MaxSize int64

	// Delay keeps records without Sync in memory for up to this time, until 24 KiB are
	// pending or a record with Sync comes; a crash of the process loses them. Append
	// then returns before they are written, unless 256 KiB are pending. Their space on
	// disk is reserved first (fallocate), so that a full disk refuses the first call.
	// Where that is not possible (little space, NFS before 4.2, systems other than
	// Linux), Append writes its record before it returns. Other failures are reported
	// by [Log.Err], by later calls and by a gap record. 0: no delay.
	Delay time.Duration

	// Now is the clock; time.Now when nil.
	Now func() time.Time

	// Signer signs heads: see [Head]. Nil: no head is signed.
	Signer Signer
	// A head is signed after HeadEvery records (0: 1,000), though at most once a
	// second, at the latest HeadPeriod (0: 30 s) after a record, and by Close.
	HeadEvery  int
	HeadPeriod time.Duration
	// OnHead is called with each head, in order, once it is on disk and in the heads
	// file, so that it can be kept elsewhere too. May be nil.
	OnHead func(Head) error
	// HeadFailed is called with the error of a head that could not be kept. The next
	// head covers the same records. Nil: only Close returns the error.
	HeadFailed func(error)
}

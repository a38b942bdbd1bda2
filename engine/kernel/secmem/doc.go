// Package secmem keeps keys: expanded schedules, hash keys, midstates, and whatever
// else a key can be found out from.
//
// Key memory lies outside the Go heap between pages that fault on any access. It is
// locked into memory, left out of core dumps, and not inherited by a forked child,
// which faults instead of working with stale keys. Free wipes what it takes back. Where
// the system cannot do one of these, keys still work, and Status says that the memory
// is not locked.
//
// Wipe and Scrubbed remove the copies of a key that its set-up leaves on the stack and
// in buffers of callers. Random gives random bytes without leaving them elsewhere.
package secmem

// Package secmem holds keys: expanded schedules, hash keys, midstates, and everything from which a
// key can be computed.
//
// Key memory lies outside the Go heap between pages that fault on any access. It is locked into
// memory, excluded from core dumps, and not inherited by a forked child, which faults instead of
// using stale keys. Free wipes it. If the system does not support one of these, keys still work;
// Status reports memory that is not locked.
//
// Wipe and Scrubbed remove the copies of a key that setting it up leaves on the stack and in the
// buffers of callers. Random returns random bytes without leaving copies.
package secmem

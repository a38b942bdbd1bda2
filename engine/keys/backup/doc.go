// Package backup copies a keystore in use to a file, whatever store it is in, and brings
// such a copy back without what was destroyed, revoked or spent since.
//
// # The file
//
// A backup is a line "velonym backup 1", a line with a [Header] in JSON, the body, and a
// line with a [trailer]: the SHA-256 of all bytes before it, signed by the keystore. The
// body holds the rows, one JSON object each, compressed with Zstandard, and sealed to age
// recipients if there are any. Secrets in it are wrapped by the master key in any case:
// a backup is of no use without that key, and the key belongs elsewhere.
//
// # Tombstones
//
// What was destroyed is in older copies. The tombstones of a keystore stand in an
// append-only file beside its audit log, in lines signed by the keystore, each with the
// digest of the one before it: receipts of destroyed secrets, revocations, ends of
// retention that were brought forward. Restore merges them, and what the audit log says
// was revoked and used.
package backup

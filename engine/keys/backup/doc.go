// Package backup copies a keystore in use, from either kind of store, to a file, and
// restores such a file without what was destroyed, revoked or spent since.
//
// # The file
//
// A backup is a line "velonym backup 1", a line with a [Header] in JSON, the body, and a
// line with a [trailer]: the SHA-256 of all bytes before it, signed by the keystore. The
// body holds the rows, one JSON object each, compressed with Zstandard, and encrypted to
// age recipients if there are any. Its secrets are always wrapped by the master key: a
// backup is useless without that key, which must be kept elsewhere.
//
// # Tombstones
//
// An older copy still holds what was destroyed since. Tombstones therefore record, in an
// append-only file beside the audit log, receipts of destroyed secrets, revocations and
// retentions that were shortened. The keystore signs each line, and each line holds the
// digest of the one before. Restore applies them, and the revocations and spent values in
// the audit log.
package backup

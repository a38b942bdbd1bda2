// Package timestamp obtains and verifies time-stamps (RFC 3161) of the signed heads of an
// audit log. A time-stamp is a statement, signed by a time-stamping authority (TSA), that
// a head existed at a certain time. Whoever can write the log, its heads and the keystore
// cannot replace what was stamped before.
//
// # The file
//
// Time-stamps are appended to a file beside the log, as one JSON object a line: see
// [Entry]. The token in it is a TimeStampToken in DER, which other programs can verify
// too. What is stamped is the SHA-256 of the head's text: see [audit.Head.Message].
//
// # Failures
//
// The log never waits for a TSA. One that does not answer, or answers wrongly, costs a
// line in the program's log, a count in [Stamper.Stats] and another attempt later; the
// next stamp covers the same records.
package timestamp

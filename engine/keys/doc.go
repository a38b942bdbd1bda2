// Package keys manages the secrets that pseudonyms are made with: projects, a key
// domain for each of a project's organisations, up to twelve generations of 32
// secret bytes in a domain, their retention and their destruction.
//
// A [Keystore] combines a [Store], which keeps rows and knows no key, with a
// [MasterKey], which wraps every secret with AES-256-GCM before the store sees it.
// The packages sqlite and postgres below this one implement stores; a program links
// only those that it imports.
//
// # Life of a secret
//
// A generation is active until the next one is created, then deactivated: it
// reverses and makes no new pseudonyms. When the project's retention ends,
// nothing uses its secrets any more. When its grace since then is over, or
// the project is severed, the wrapped secrets of all its generations are overwritten
// and deleted, and the store rewrites its files so that no old page keeps them. The
// time that decides is the store's, not one machine's: see [Clock]. What remains is
// a signed [Receipt]. Copies made of the store before (backups, replicas, the
// write-ahead archive of a PostgreSQL server) are beyond this package's reach: let
// them expire with the retention.
package keys

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
// A generation is active until the next one is created. Then it is deactivated: it
// reverses pseudonyms and makes no new ones. When the project's retention ends, nothing
// uses its secrets any more. When the grace after that end is over, or when the project
// is severed, the keystore overwrites and deletes the wrapped secrets of all its
// generations, and the store rewrites its files so that no old page keeps them. The
// store's time decides, not the clock of one machine: see [Clock]. A signed [Receipt]
// remains. This package cannot reach copies made before (backups, replicas, the
// write-ahead archive of a PostgreSQL server): let them expire with the retention.
package keys

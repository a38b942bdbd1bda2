// Package keys holds the secrets that pseudonyms are made with: projects, one
// key domain for each of a project's organisations, up to twelve generations
// of 32 secret bytes in a domain, their retention and their destruction.
//
// A [Keystore] joins a [Store], which keeps rows and knows no key, with a
// [MasterKey], which wraps every secret by AES-256-GCM before a store sees it.
// The stores are in the packages sqlite and postgres below this one, linked
// only if imported.
//
// # Life of a secret
//
// A generation is active from its making until the next one is made, then
// deactivated: it reverses and makes nothing new. When the project's retention
// ends, or the project is severed, the wrapped secrets of all its generations
// are overwritten and deleted, and the store rewrites its files so that no old
// page keeps them. What remains is a signed [Receipt]. Copies that were taken
// of the store before (backups, replicas, the write-ahead archive of a
// PostgreSQL server) are beyond this package's reach: let them expire with the
// retention.
package keys

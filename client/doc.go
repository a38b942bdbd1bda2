// Package client calls a server of the HTTP contract: it sends identifiers and gets
// pseudonyms, or the other way round, in batches, several at a time, with retries where
// a repeat is safe. It holds no keys and links nothing of the engine.
//
//	c, err := client.New(client.Config{URL: "https://psn.example.org", Token: token})
//	pseudonyms, err := c.Pseudonymise(ctx, []string{"1973080520045", ""})
//
// [Client.Pseudonymise], [Client.Reverse] and [Client.Secondary] take strings.
// [Client.Transform] takes an arena of bytes with the offset and length of each value,
// and is what `velonym run --server` calls. [Client.Table] takes a whole Arrow stream or
// CSV and replaces columns of it.
//
// # Errors
//
// An answer other than success is a [StatusError] with the contract's code; values that
// cannot be transformed are a [ValuesError] with their indexes. No error holds a value, a
// token or any text that a server sent.
package client

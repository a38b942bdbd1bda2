// Package server answers the two endpoints of the HTTP contract, on fasthttp.
//
// The steps of a request are: route, token, media type, body (streamed in under limits),
// spans of the values (csvfast), one engine call per chunk of values, answer written once
// into a pooled buffer, audit record, answer sent. Nothing is sent before the whole answer
// is known.
//
// # Memory
//
// The bodies, spans and answers of all requests, and the buffers kept for the next ones,
// are pooled and counted together, and never hold more than Config.MaxInFlight bytes; a
// request beyond that is refused, not queued. The buffer of a body grows with the bytes
// received, not with the length announced. A connection costs up to 48 KiB more (its two
// buffers and the first 8 KiB of a body). A buffer is not wiped when it returns to its
// pool, but every user slices it to the bytes that it wrote itself, so no request can read
// a byte of another. Buffers that were not needed for half a minute are dropped.
//
// # Secrecy
//
// No error, log line, metric or audit record holds a value, a token or a key. The error
// texts of csvfast and token are written for that; errors from elsewhere are only logged,
// and clients get a text of this package.
//
// # Refused bodies
//
// A connection that is closed while the client is still sending is reset, and the client
// may lose the answer it has received. When a body is refused early, the answer is sent at
// once, the connection's write side is closed, and the rest of the body is read and
// dropped within Config.LingerTimeout and Config.MaxDrain.
package server

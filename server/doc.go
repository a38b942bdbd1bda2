// Package server answers the two endpoints of the HTTP contract, on fasthttp.
//
// A request goes: route, token, media type, body (streamed in under limits),
// positions of the values (csvfast), one engine call a chunk of values, answer
// written once into a pooled buffer, record, answer sent. Nothing is sent
// before the whole answer is known.
//
// # Memory
//
// The bodies, positions and answers of all requests, and the buffers kept for
// the next ones, are pooled and counted together, and never hold more than
// Config.MaxInFlight bytes; a request beyond that is refused, not queued. Room
// for a body grows with the bytes that have come, not with what was announced.
// A connection costs up to 48 KiB besides (its two buffers and the first 8 KiB
// of a body). A buffer is not wiped when it goes back to its pool, but every
// user slices it to the bytes that it wrote itself: no byte of one request can
// be read by another. Buffers that were not needed for half a minute are
// dropped.
//
// # What is never said
//
// No error, log line, metric or record holds a value, a token or a key. The
// error texts of csvfast and token are made for that; errors from elsewhere are
// logged on our side only, and clients get a sentence of ours.
//
// # Refused bodies
//
// A connection that is closed while the client is still sending is reset, and
// the client may lose the answer that it had. When a body is refused early, the
// answer goes out at once, the connection's write side is closed, and the rest
// is read and dropped within Config.LingerTimeout and Config.MaxDrain.
package server

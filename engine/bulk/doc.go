// Package bulk replaces the values of chosen columns in files and streams: CSV,
// TSV, NDJSON, JSON and Parquet, plain or compressed, of any size in bounded memory.
//
// [Run] takes a [Job] and gives a [Summary]. A run cuts its input at row ends
// into chunks, finds the chosen values of a chunk, hands them to the column's
// plan in one call, and writes the chunk with the results in place; every other
// byte of a CSV or JSON file is written as it was read. Chunks are worked on in
// parallel and come out in order.
//
// A regular file is read with pread by all workers at once: where a chunk's rows
// start follows from the parity of the quotes before it. One worker at a time
// writes, for systems let one writer at a time into a file, and in order: its own
// chunk, from its CPU's cache, if its turn comes within some microseconds; else
// whoever writes takes that one along, and the worker goes on. A pipe has one reader
// and one writer at a time, and so has a JSON document (an array, or values over
// several lines), which can only be cut by whoever has read all that is before.
//
// The output appears under its name only when it is complete: it is written to
// a temporary name in the same folder, synced and renamed. An error in the data
// leaves nothing behind; an interrupted run leaves the temporary file and a
// journal from which Job.Resume goes on. The counters of policy document are never
// on disk: a resumed run counts again what is written already.
//
// A value is the text between the outer quotes of its field, doubled quotes
// halved; a CRLF inside quotes is a CRLF. A result is written quoted if its field
// was, or if it must be.
//
// The package knows nothing of tokens and keystores: plans come from the caller,
// and so do the words that describe them in a manifest.
package bulk

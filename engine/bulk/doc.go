// Package bulk replaces the values of chosen columns in files and streams: CSV, TSV, NDJSON,
// JSON and Parquet, plain or compressed, of any size in bounded memory.
//
// [Run] executes a [Job] and returns a [Summary]. It cuts the input at row ends into chunks,
// finds the values of the chosen columns in a chunk, transforms them with one call of the
// column's plan and writes the chunk with the results in place of the values. All other
// bytes of a CSV or JSON file are copied unchanged. Chunks are processed in parallel and
// written in order.
//
// All workers read a regular file at the same time with pread: the parity of the quotes
// before a chunk determines where its rows start. One worker writes at a time, since the
// system serialises writes to a file. A worker whose chunk is next waits some microseconds
// to write it from its own cache; otherwise it leaves the chunk to the worker that is
// writing. A pipe has one reader at a time, and so has a JSON document (an array, or values
// that span lines), since finding the end of an item requires all text before it.
//
// An output is written to a temporary file in its folder, synced, and renamed when it is
// complete. An error in the data removes it. An interrupted run leaves the temporary file
// and a journal, from which Job.Resume continues. The counters of policy document are never
// written to disk; a resumed run counts again.
//
// A CSV value is the text between the outer quotes of its field with doubled quotes undone;
// a CRLF within quotes stays a CRLF. A result is quoted if its field was, or if it must be.
//
// The package knows nothing of tokens and keystores: plans, and their descriptions in a
// manifest, come from the caller.
package bulk

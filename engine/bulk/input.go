package bulk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/velonym/velonym/internal/gunzip"
)

// Compression is how a file is compressed.
type Compression string

// The compressions. AutoCompression follows the suffix of the output.
const (
	AutoCompression Compression = ""
	None            Compression = "none"
	Gzip            Compression = "gzip"
	Zstd            Compression = "zstd"
)

// ParseCompression reads "none", "gzip" or "zstd"; "" and "auto" are AutoCompression.
func ParseCompression(s string) (Compression, error) {
	switch c := Compression(s); c {
	case AutoCompression, None, Gzip, Zstd:
		return c, nil
	case "auto":
		return AutoCompression, nil
	}
	return "", fmt.Errorf("bulk: unknown compression %q: use one of none, gzip, zstd", s)
}

// suffix returns the suffix of file names of this compression.
func (c Compression) suffix() string {
	switch c {
	case Gzip:
		return ".gz"
	case Zstd:
		return ".zst"
	}
	return ""
}

// bySuffix returns the compression that the suffix of a name states, or None.
func bySuffix(name string) Compression {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".gz", ".gzip":
		return Gzip
	case ".zst", ".zstd":
		return Zstd
	}
	return None
}

// byName returns the format that the suffix of a name states, CSV by default.
func byName(name string) Format {
	if bySuffix(name) != None {
		name = strings.TrimSuffix(name, filepath.Ext(name))
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".tsv", ".tab":
		return TSV
	case ".ndjson", ".jsonl":
		return NDJSON
	case ".json":
		return JSON
	case ".parquet", ".pq":
		return Parquet
	case ".arrow", ".arrows", ".feather", ".ipc":
		return Arrow
	}
	return CSV
}

// source is an opened input. A regular file without compression is read at offsets (at is
// set), anything else from front to back through stream.
type source struct {
	name   string // as the user wrote it; "standard input" for Stdin
	file   *os.File
	info   os.FileInfo // nil if Stdin is not a file
	at     io.ReaderAt
	size   int64 // of the file; 0 if not known
	packed Compression
	text   Encoding // encoding of the text
	why    string   // how text was recognised, to tell the user; "" if it needs no telling
	stream io.Reader
	head   []byte          // first bytes of the file, at most 4
	raw    *countingReader // what stream reads from: counts bytes of the file
	done   func()
}

// countingReader counts the bytes read through it.
type countingReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

const stdinName = "standard input"

// openSource opens path, or Stdin for "-", and detects its compression and encoding.
func (j *Job) openSource(ctx context.Context, path string) (*source, error) {
	s := &source{name: path, done: func() {}}
	var r io.Reader
	if path == "-" {
		s.name = stdinName
		r = j.Stdin
		if r == nil {
			r = os.Stdin
		}
		if f, ok := r.(*os.File); ok {
			s.file = f
		}
	} else {
		f, err := openInput(ctx, path)
		if err == ErrInterrupted {
			return nil, err
		}
		if err != nil {
			return nil, plainPathError(err)
		}
		s.file, r = f, f
		s.done = func() { f.Close() }
	}
	if s.file != nil {
		info, err := s.file.Stat()
		if err != nil {
			s.done()
			return nil, plainPathError(err)
		}
		s.info = info
		if info.IsDir() {
			s.done()
			return nil, fmt.Errorf("%s: is a folder; name files", s.name)
		}
	}
	if s.info != nil && s.info.Mode().IsRegular() {
		// Standard input may have been read from before.
		pos, err := s.file.Seek(0, io.SeekCurrent)
		if err == nil && pos == 0 {
			s.at, s.size = s.file, s.info.Size()
		}
	}
	if s.at == nil {
		r = &cancelReader{ctx: ctx, r: r}
	}
	s.raw = &countingReader{r: r}
	br := bufio.NewReaderSize(s.raw, 256<<10)
	head, err := br.Peek(4)
	if err != nil && err != io.EOF {
		s.done()
		return nil, fmt.Errorf("%s: %w", s.name, bareErr(err))
	}
	s.head = bytes.Clone(head)
	if err := s.decompress(br); err != nil {
		s.done()
		return nil, s.unpackError(err)
	}
	if err := s.decodeText(j); err != nil {
		s.done()
		return nil, err
	}
	return s, nil
}

// decompress detects the compression of br from s.head and sets s.stream to what is inside.
// It leaves s.stream nil for a file without compression that is read at offsets.
func (s *source) decompress(br *bufio.Reader) error {
	switch {
	case len(s.head) >= 2 && s.head[0] == 0x1f && s.head[1] == 0x8b:
		s.packed = Gzip
		z, err := gunzip.NewReader(br)
		if err != nil {
			return err
		}
		s.at, s.stream = nil, z
	case isZstd(s.head):
		s.packed = Zstd
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return err
		}
		closeFile := s.done
		s.done = func() { z.Close(); closeFile() }
		s.at, s.stream = nil, z
	default:
		s.packed = None
		if s.at == nil {
			s.stream = br
		}
	}
	return nil
}

// decodeText recognises the encoding of the text and has the stream read it as UTF-8.
func (s *source) decodeText(j *Job) error {
	head := s.head
	switch {
	case s.at != nil && j.Encoding != ByMark:
		head = make([]byte, min(s.size, encodingSample))
		if _, err := s.at.ReadAt(head, 0); err != nil && err != io.EOF {
			return fmt.Errorf("%s: %w", s.name, bareErr(err))
		}
	case s.at == nil:
		br, ok := s.stream.(*bufio.Reader)
		if !ok {
			br = bufio.NewReaderSize(s.stream, encodingSample)
			s.stream = br
		}
		var err error
		if head, err = br.Peek(len(marks[0].mark)); err != nil && err != io.EOF {
			return s.readError(err)
		}
		if j.Encoding != ByMark { // examine what has arrived, without waiting for more
			head, _ = br.Peek(min(br.Buffered(), encodingSample))
		}
	}
	var err error
	if s.text, s.why, err = j.encodingOf(s.name, head); err != nil || s.text == UTF8 {
		return err
	}
	if s.at != nil {
		s.asStream(0)
	}
	s.stream = bufio.NewReaderSize(&decodingReader{name: s.name, r: s.stream, e: s.text}, encodingSample)
	return nil
}

// readError converts an error of reading stream.
func (s *source) readError(err error) error {
	var known *Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return ErrInterrupted
	case s.packed != None:
		return s.unpackError(err)
	}
	return fmt.Errorf("%s: %w", s.name, bareErr(err))
}

// openInput opens a file. Opening a named pipe waits for its writer until ctx ends.
func openInput(ctx context.Context, path string) (*os.File, error) {
	if st, err := os.Stat(path); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
		return os.Open(path)
	}
	type opened struct {
		f   *os.File
		err error
	}
	got := make(chan opened, 1)
	go func() {
		f, err := os.Open(path)
		got <- opened{f, err}
	}()
	select {
	case o := <-got:
		return o.f, o.err
	case <-ctx.Done():
		go func() { // a writer may still open the pipe
			if o := <-got; o.err == nil {
				o.f.Close()
			}
		}()
		return nil, ErrInterrupted
	}
}

// unpackError converts an error of reading a compressed input, which may come from the file
// itself.
func (s *source) unpackError(err error) error {
	var pe *os.PathError
	switch {
	case errors.As(err, &pe), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", s.name, bareErr(err))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		err = fmt.Errorf("the %s stream is cut short: %w", s.packed, io.ErrUnexpectedEOF)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		err = errors.New("the zstd stream asks for a window of more than 128 MiB; pack it anew without --long or --ultra")
	case err == gunzip.ErrBehind:
		err = fmt.Errorf("the %s stream is complete, and %w; cut them off, if they do not belong there", s.packed, err)
	default:
		err = fmt.Errorf("the %s stream is damaged: %w", s.packed, err)
	}
	return &Error{File: s.name, Err: err} // the data is at fault, so nothing is kept for a resume
}

// plainPathError drops the system call's name: "x.csv: no such file or directory".
func plainPathError(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Path, pe.Err)
	}
	return err
}

// bareErr drops the path too, where the caller has named the file.
func bareErr(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// cancelReader stops waiting for a pipe when its context ends. A read in flight then
// completes in the background, into a buffer that is no longer used.
type cancelReader struct {
	ctx  context.Context
	r    io.Reader
	buf  []byte
	rest []byte
	err  error
	got  chan readResult
}

type readResult struct {
	n   int
	err error
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if len(c.rest) == 0 && c.err == nil {
		if c.buf == nil {
			c.buf, c.got = make([]byte, 256<<10), make(chan readResult, 1)
		}
		go func(buf []byte) {
			n, err := c.r.Read(buf)
			c.got <- readResult{n, err}
		}(c.buf)
		select {
		case r := <-c.got:
			c.rest, c.err = c.buf[:r.n], r.err
		case <-c.ctx.Done():
			c.err = c.ctx.Err()
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	if n > 0 {
		return n, nil
	}
	err := c.err
	return 0, err
}

var bom = []byte("\xef\xbb\xbf")

// unchanged returns an error if a regular input was modified since it was opened.
func (s *source) unchanged() error {
	if s.info == nil || !s.info.Mode().IsRegular() {
		return nil
	}
	now, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, bareErr(err))
	}
	if now.Size() != s.info.Size() || !now.ModTime().Equal(s.info.ModTime()) {
		return fmt.Errorf("%s: %w: it was written to while it was read", s.name, ErrChanged)
	}
	return nil
}

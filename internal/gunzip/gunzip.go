// Package gunzip reads gzip as gzip(1) does: several members in a row, and zeros after the
// last. It reads files and the bodies of requests.
package gunzip

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

// ErrBehind is the error of other bytes after a complete member.
var ErrBehind = errors.New("other bytes stand behind its end")

// Reader decompresses a stream. One goroutine at a time uses it.
type Reader struct {
	br *bufio.Reader
	z  gzip.Reader
}

// NewReader returns a Reader of br, of which it may read more than the stream. It returns
// io.EOF if br is empty.
func NewReader(br *bufio.Reader) (*Reader, error) {
	r := &Reader{br: br}
	return r, r.first()
}

// Reset makes r read the stream in, through the same bufio.Reader.
func (r *Reader) Reset(in io.Reader) error {
	r.br.Reset(in)
	return r.first()
}

// Release drops the reference to the input, so that r can be pooled.
func (r *Reader) Release() { r.br.Reset(nil) }

func (r *Reader) first() error {
	if err := r.z.Reset(r.br); err != nil {
		return err
	}
	r.z.Multistream(false)
	return nil
}

// Read returns ErrBehind if bytes that are not a member follow one, and
// io.ErrUnexpectedEOF if a member is truncated.
func (r *Reader) Read(p []byte) (int, error) {
	for {
		n, err := r.z.Read(p)
		if n > 0 && err == io.EOF {
			return n, nil // the next Read finds the end of the member again
		}
		if err != io.EOF {
			return n, err
		}
		next, err := r.br.Peek(2)
		if len(next) > 0 && next[0] == 0 {
			return 0, r.padding()
		}
		if len(next) == 0 {
			return 0, err
		}
		if next[0] != 0x1f || len(next) == 2 && next[1] != 0x8b {
			return 0, ErrBehind
		}
		if err := r.first(); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
}

// padding reads the zeros that pad a file to the block size of its medium, which gzip(1) ignores.
// Like gzip(1), it does not accept a member after them.
func (r *Reader) padding() error {
	for {
		b, err := r.br.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return ErrBehind
		}
	}
}

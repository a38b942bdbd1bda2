// Package gunzip reads gzip as gzip(1) does: members one behind the other, and zeros
// behind the last. Files and the bodies of requests are read by it alike.
package gunzip

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

// ErrBehind says that other bytes follow a complete member.
var ErrBehind = errors.New("other bytes stand behind its end")

// Reader undoes the compression of a stream. One goroutine at a time.
type Reader struct {
	br *bufio.Reader
	z  gzip.Reader
}

// NewReader reads br, which it may read beyond the stream's end. An empty br is an
// io.EOF.
func NewReader(br *bufio.Reader) (*Reader, error) {
	r := &Reader{br: br}
	return r, r.first()
}

// Reset starts anew with what in holds, through the same bufio.Reader.
func (r *Reader) Reset(in io.Reader) error {
	r.br.Reset(in)
	return r.first()
}

// Release lets go of what is read, so that r can be kept for later.
func (r *Reader) Release() { r.br.Reset(nil) }

func (r *Reader) first() error {
	if err := r.z.Reset(r.br); err != nil {
		return err
	}
	r.z.Multistream(false)
	return nil
}

// Read tells what is no member (ErrBehind) from one that is cut short
// (io.ErrUnexpectedEOF).
func (r *Reader) Read(p []byte) (int, error) {
	for {
		n, err := r.z.Read(p)
		if n > 0 && err == io.EOF {
			return n, nil // the end of the member shows again
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

// padding reads the zeros that pad a file to a block of its medium, which gzip
// ignores. What follows them is no member to gzip either.
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

package bulk

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

// members reads the members of a gzip file one behind the other, and tells what
// is no member from one that is cut short.
type members struct {
	br *bufio.Reader
	z  *gzip.Reader
}

func newMembers(br *bufio.Reader) (*members, error) {
	z, err := gzip.NewReader(br)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &members{br, z}, nil
}

func (m *members) Read(p []byte) (int, error) {
	for {
		n, err := m.z.Read(p)
		if n > 0 && err == io.EOF {
			return n, nil // the end of the member shows again
		}
		if err != io.EOF {
			return n, err
		}
		next, err := m.br.Peek(2)
		if len(next) > 0 && next[0] == 0 {
			return 0, m.padding()
		}
		if len(next) == 0 {
			return 0, err
		}
		if next[0] != 0x1f || len(next) == 2 && next[1] != 0x8b {
			return 0, errBehind
		}
		if err := m.z.Reset(m.br); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		m.z.Multistream(false)
	}
}

// padding reads the zeros that pad a file to a block of its medium, which gzip
// ignores. What follows them is no member to gzip either.
func (m *members) padding() error {
	for {
		b, err := m.br.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return errBehind
		}
	}
}

// errBehind: the file goes on behind a complete gzip member with what is none.
var errBehind = errors.New("other bytes stand behind its end")

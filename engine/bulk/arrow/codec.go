package arrow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// codec is the compression of a batch's buffers, by its number in CompressionType of
// Message.fbs.
type codec int8

const (
	codecNone codec = -1
	codecLZ4  codec = 0
	codecZstd codec = 1
)

var errPacked = errors.New("a packed buffer is damaged")

// packers holds the decompressors and compressors, created at first use.
type packers struct {
	lz4r *lz4.Reader
	lz4w *lz4.Writer
	zr   *zstd.Decoder
	zw   *zstd.Encoder
}

func (p *packers) close() {
	if p.zr != nil {
		p.zr.Close()
	}
	if p.zw != nil {
		p.zw.Close()
	}
}

// unpack appends the content of a compressed buffer to dst. A buffer begins with the length
// of its content, or with -1 if it is stored uncompressed.
func (p *packers) unpack(dst []byte, c codec, b []byte, limit int64) ([]byte, error) {
	if len(b) == 0 {
		return dst, nil
	}
	if len(b) < 8 {
		return dst, errPacked
	}
	n := int64(binary.LittleEndian.Uint64(b))
	b = b[8:]
	switch {
	case n == -1:
		return append(dst, b...), nil
	case n < 0:
		return dst, errPacked
	case n > limit:
		return dst, &MemoryError{"a buffer", n, limit}
	}
	var r io.Reader
	if c == codecZstd {
		if p.zr == nil {
			z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
			if err != nil {
				return dst, err
			}
			p.zr = z
		}
		if p.zr.Reset(bytes.NewReader(b)) != nil {
			return dst, errPacked
		}
		r = p.zr
	} else {
		if p.lz4r == nil {
			p.lz4r = lz4.NewReader(nil)
		}
		p.lz4r.Reset(bytes.NewReader(b))
		r = p.lz4r
	}
	start := len(dst)
	dst, err := readGrowing(dst, r, n)
	if err == nil {
		var more [1]byte
		if k, _ := io.ReadFull(r, more[:]); k > 0 {
			err = errPacked
		}
	}
	if err != nil || int64(len(dst)-start) != n {
		return dst[:start], errPacked
	}
	return dst, nil
}

// pack appends the packed form of b to dst.
func (p *packers) pack(dst []byte, c codec, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return dst, nil
	}
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(b)))
	switch c {
	case codecZstd:
		if p.zw == nil {
			z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
			if err != nil {
				return dst, err
			}
			p.zw = z
		}
		dst = p.zw.EncodeAll(b, dst)
	default:
		w := bytes.NewBuffer(dst)
		if p.lz4w == nil {
			p.lz4w = lz4.NewWriter(nil)
		}
		p.lz4w.Reset(w)
		if _, err := p.lz4w.Write(b); err != nil {
			return dst, err
		}
		if err := p.lz4w.Close(); err != nil {
			return dst, err
		}
		dst = w.Bytes()
	}
	if len(dst)-start >= 8+len(b) { // pseudonyms, being random, may not compress
		dst = binary.LittleEndian.AppendUint64(dst[:start], ^uint64(0))
		dst = append(dst, b...)
	}
	return dst, nil
}

// readGrowing appends n bytes of r to dst. It allocates memory as the bytes arrive, so that a
// false length costs no more memory than the input has bytes.
func readGrowing(dst []byte, r io.Reader, n int64) ([]byte, error) {
	const step = 1 << 20
	for n > 0 {
		at := len(dst)
		k := int(min(n, int64(max(step, at, cap(dst)-at-padding))))
		if cap(dst)-at < k+padding {
			grown := make([]byte, at, at+k+padding)
			copy(grown, dst)
			dst = grown
		}
		got, err := io.ReadFull(r, dst[at:at+k])
		dst = dst[:at+got]
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return dst, err
		}
		n -= int64(k)
	}
	return dst, nil
}

// padding is the capacity that must follow values, because kernels read past their end.
const padding = 128

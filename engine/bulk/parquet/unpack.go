package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// unpacker decompresses pages. With some codecs a damaged page makes the library's decoders
// allocate without bound, beyond the size that the page states; unpacker decodes those codecs
// by other means.
type unpacker struct {
	zstd   *zstd.Decoder
	gzip   *gzip.Reader
	brotli *brotli.Reader
	buf    []byte // the page decompressed last
}

var errUnpack = errors.New("it is damaged")

// maxExpansion returns the largest number of bytes that one compressed byte of a codec can
// decode to. A page that states more is damaged, and no memory is allocated for it. Brotli
// has no such bound.
func maxExpansion(codec format.CompressionCodec) int64 {
	switch codec {
	case format.Uncompressed:
		return 1
	case format.Snappy:
		return 32
	case format.Lz4Raw:
		return 256
	case format.Gzip:
		return 1040
	case format.Zstd:
		return 128 << 10 / 3
	}
	return 1 << 30
}

// reserve makes u's buffer large enough for n bytes.
func (u *unpacker) reserve(n int64) {
	if int64(cap(u.buf)) < n {
		u.buf = make([]byte, 0, n)
	}
}

// unpack decompresses body to n bytes, which are valid until the next call.
func (u *unpacker) unpack(codec format.CompressionCodec, body []byte, n int64) (b []byte, err error) {
	// Some decoders panic on invalid pages.
	defer func() {
		if recover() != nil {
			b, err = nil, errUnpack
		}
	}()
	switch {
	case n == 0 && len(body) <= 32: // an empty page, compressed or not
		return nil, nil
	case codec == format.Uncompressed:
		return body, nil
	case n/maxExpansion(codec) > int64(len(body)):
		return nil, errUnpack
	}
	var head zstd.Header
	if codec == format.Zstd {
		if err := head.Decode(body); err != nil || head.HasFCS && head.FrameContentSize > uint64(n) {
			return nil, errUnpack
		}
	}
	if codec == format.Brotli || codec == format.Zstd && !head.HasFCS { // the buffer grows as needed
		u.reserve(min(n, int64(len(body))*64+64<<10))
	} else {
		u.reserve(n)
	}
	dst := u.buf[:0]
	defer func() {
		if cap(b) > cap(u.buf) {
			u.buf = b[:0]
		}
	}()
	switch codec {
	case format.Lz4Raw:
		return unpackLZ4(dst[:0:n], body)
	case format.Gzip:
		return u.unpackGzip(dst, body, n)
	case format.Zstd:
		if u.zstd == nil {
			if u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage)); err != nil {
				return nil, err
			}
		}
		if !head.HasFCS { // without a stated size DecodeAll would not stop at n
			if err := u.zstd.Reset(bytes.NewReader(body)); err != nil {
				return nil, err
			}
			return readAll(u.zstd, dst, n)
		}
		return u.zstd.DecodeAll(body, dst)
	case format.Brotli:
		if u.brotli == nil {
			u.brotli = brotli.NewReader(bytes.NewReader(body))
		} else if err := u.brotli.Reset(bytes.NewReader(body)); err != nil {
			return nil, err
		}
		return readAll(u.brotli, dst, n)
	case format.Snappy:
		if stated, k := binary.Uvarint(body); k <= 0 || stated != uint64(n) {
			return nil, errUnpack
		}
	}
	return codecOf(codec).Decode(dst, body)
}

// close frees the decoders.
func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

func (u *unpacker) unpackGzip(dst, body []byte, n int64) (b []byte, err error) {
	if u.gzip == nil {
		u.gzip, err = gzip.NewReader(bytes.NewReader(body))
	} else {
		err = u.gzip.Reset(bytes.NewReader(body))
	}
	if err != nil {
		return nil, err
	}
	return readAll(u.gzip, dst, n)
}

// readAll reads r, which must have n bytes, into the memory of dst.
func readAll(r io.Reader, dst []byte, n int64) ([]byte, error) {
	b := dst
	for int64(len(b)) < n {
		if len(b) == cap(b) {
			b = slices.Grow(b, int(min(n-int64(len(b)), int64(len(b))+64<<10)))
		}
		k, err := io.ReadFull(r, b[len(b):min(int64(cap(b)), n)])
		b = b[:len(b)+k]
		if err != nil {
			return nil, err
		}
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); err != io.EOF {
		return nil, errUnpack // more than stated, or a wrong checksum
	}
	return b, nil
}

// unpackLZ4 decompresses an LZ4 block into the capacity of dst, which is empty.
//
// Source: lz4, doc/lz4_Block_format.md.
func unpackLZ4(dst, src []byte) ([]byte, error) {
	length := func(n int) (int, bool) { // a nibble, continued in the following bytes
		if n < 15 {
			return n, true
		}
		for len(src) > 0 {
			b := src[0]
			src = src[1:]
			if n += int(b); b != 255 {
				return n, n <= cap(dst)
			}
		}
		return 0, false
	}
	for {
		if len(src) == 0 {
			return nil, errUnpack
		}
		token := int(src[0])
		src = src[1:]
		n, ok := length(token >> 4)
		if !ok || n > len(src) || n > cap(dst)-len(dst) {
			return nil, errUnpack
		}
		dst = append(dst, src[:n]...)
		if src = src[n:]; len(src) == 0 {
			return dst, nil
		}
		if len(src) < 2 {
			return nil, errUnpack
		}
		back := int(binary.LittleEndian.Uint16(src))
		src = src[2:]
		n, ok = length(token & 15)
		if n += 4; !ok || back == 0 || back > len(dst) || n > cap(dst)-len(dst) {
			return nil, errUnpack
		}
		for n > 0 { // the source may overlap the bytes that this loop writes
			from := dst[len(dst)-back:]
			k := min(n, len(from))
			dst = append(dst, from[:k]...)
			n -= k
		}
	}
}

package bulk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// unpacker unpacks pages. The library's decoders go on past the size that a page
// states, as far as memory does; where a damaged page makes them do so, it is
// done here.
type unpacker struct {
	zstd   *zstd.Decoder
	gzip   *gzip.Reader
	brotli *brotli.Reader
}

var errUnpack = errors.New("it is damaged")

// unpack returns the n bytes that body holds.
func (u *unpacker) unpack(codec format.CompressionCodec, body []byte, n int64) (b []byte, err error) {
	// Some decoders panic at what is no valid page.
	defer func() {
		if recover() != nil {
			b, err = nil, errUnpack
		}
	}()
	dst := make([]byte, 0, n)
	switch codec {
	case format.Lz4Raw:
		return unpackLZ4(dst, body)
	case format.Gzip:
		return u.unpackGzip(dst, body)
	case format.Zstd:
		if u.zstd == nil {
			if u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage)); err != nil {
				return nil, err
			}
		}
		return u.zstd.DecodeAll(body, dst)
	case format.Brotli:
		if u.brotli == nil {
			u.brotli = brotli.NewReader(bytes.NewReader(body))
		} else if err := u.brotli.Reset(bytes.NewReader(body)); err != nil {
			return nil, err
		}
		return readAll(u.brotli, dst)
	case format.Snappy:
		if stated, k := binary.Uvarint(body); k <= 0 || stated != uint64(n) {
			return nil, errUnpack
		}
	}
	return parquet.LookupCompressionCodec(codec).Decode(dst, body)
}

// close frees what the decoders hold.
func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

func (u *unpacker) unpackGzip(dst, body []byte) (b []byte, err error) {
	if u.gzip == nil {
		u.gzip, err = gzip.NewReader(bytes.NewReader(body))
	} else {
		err = u.gzip.Reset(bytes.NewReader(body))
	}
	if err != nil {
		return nil, err
	}
	return readAll(u.gzip, dst)
}

// readAll fills the capacity of dst, which is empty, with all of r.
func readAll(r io.Reader, dst []byte) ([]byte, error) {
	b := dst[:cap(dst)]
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); err != io.EOF {
		return nil, errUnpack // more than stated, or a wrong checksum
	}
	return b, nil
}

// unpackLZ4 unpacks an LZ4 block into the capacity of dst, which is empty.
//
// Source: lz4, doc/lz4_Block_format.md.
func unpackLZ4(dst, src []byte) ([]byte, error) {
	length := func(n int) (int, bool) { // a nibble, and what follows it
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
		for n > 0 { // what is copied may be what was just written
			from := dst[len(dst)-back:]
			k := min(n, len(from))
			dst = append(dst, from[:k]...)
			n -= k
		}
	}
}

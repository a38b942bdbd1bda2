package parquet

import (
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/brotli"
	"github.com/parquet-go/parquet-go/compress/gzip"
	"github.com/parquet-go/parquet-go/compress/lz4"
	"github.com/parquet-go/parquet-go/compress/snappy"
	"github.com/parquet-go/parquet-go/compress/uncompressed"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// The codecs of pages, at the levels of the library's own writer. They are imported from its
// packages one by one, because importing the whole library adds a millisecond to every start
// of the program.
var (
	uncompressedCodec uncompressed.Codec
	snappyCodec       snappy.Codec
	gzipCodec         = gzip.Codec{Level: gzip.DefaultCompression}
	brotliCodec       = brotli.Codec{Quality: brotli.DefaultQuality, LGWin: brotli.DefaultLGWin}
	zstdCodec         = zstd.Codec{Level: zstd.DefaultLevel}
	lz4Codec          = lz4.Codec{Level: lz4.DefaultLevel}
)

// codecOf returns the codec that a column chunk names, and nil for one that nobody
// writes any more (LZO, the framed LZ4).
func codecOf(c format.CompressionCodec) compress.Codec {
	switch c {
	case format.Uncompressed:
		return &uncompressedCodec
	case format.Snappy:
		return &snappyCodec
	case format.Gzip:
		return &gzipCodec
	case format.Brotli:
		return &brotliCodec
	case format.Zstd:
		return &zstdCodec
	case format.Lz4Raw:
		return &lz4Codec
	}
	return nil
}

package bulk

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	arrowparquet "github.com/apache/arrow-go/v18/parquet"
	arrowcompress "github.com/apache/arrow-go/v18/parquet/compress"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestParquetEncrypted checks that encrypted files and columns, and codecs that are not
// supported, are refused with what they are, and that nothing is left.
func TestParquetEncrypted(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	key := "0123456789012345"
	column := arrowparquet.ColumnPathToEncryptionPropsMap{}
	column["name"] = arrowparquet.NewColumnEncryptionProperties("name", arrowparquet.WithKey(key))
	for name, c := range map[string]struct {
		opts   []arrowparquet.WriterProperty
		change func([]byte) []byte
		want   string
	}{
		"footer": {opts: []arrowparquet.WriterProperty{arrowparquet.WithEncryptionProperties(arrowparquet.NewFileEncryptionProperties(key))},
			want: "the Parquet file is encrypted; decrypt it first"},
		"plain footer": {opts: []arrowparquet.WriterProperty{arrowparquet.WithEncryptionProperties(arrowparquet.NewFileEncryptionProperties(key,
			arrowparquet.WithPlaintextFooter(), arrowparquet.WithEncryptedColumns(column)))},
			want: "encrypted; decrypt"},
		"LZO":     {change: func(b []byte) []byte { return setCodec(t, b, 3) }, want: `column "id" is compressed with codec LZO (3), which is not read here`},
		"LZ4":     {change: func(b []byte) []byte { return setCodec(t, b, 5) }, want: `column "id" is compressed with codec LZ4 (5), which is not read here`},
		"unknown": {change: func(b []byte) []byte { return setCodec(t, b, 99) }, want: `column "id" is compressed with codec`},
	} {
		dir := t.TempDir()
		in := filepath.Join(dir, "in.parquet")
		writeArrow(t, in, cells(100, 20), c.opts...)
		if c.change != nil {
			b, err := os.ReadFile(in)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(in, c.change(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out.parquet"), Columns: []Column{{Name: "id", Plan: p}}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

// setCodec changes the codec of the column id in the footer.
func setCodec(t *testing.T, b []byte, codec int64) []byte {
	t.Helper()
	n := int(binary.LittleEndian.Uint32(b[len(b)-8:]))
	start := len(b) - 8 - n
	meta, _, err := thrift.Read(b[start:])
	if err != nil {
		t.Fatal(err)
	}
	meta.Items(4)[0].Items(1)[1].Field(3).Set(4, codec)
	footer := meta.Append(nil)
	out := append(b[:start:start], footer...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(footer)))
	return append(out, "PAR1"...)
}

// TestParquetResume stops runs at random writes, by cancelling and by errors of the disk, and
// resumes them, several times over. They end with the bytes of an uninterrupted run.
func TestParquetResume(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	rows := cells(3000, 400)
	rounds := 12 // every combination of the options below
	switch {
	case longForm:
		rounds = 24
	case simdtest.Race():
		rounds = 4
	}
	for i := range rounds {
		rng := rand.New(rand.NewPCG(uint64(i), 5))
		dir := t.TempDir()
		in := filepath.Join(dir, "in.parquet")
		writeArrow(t, in, rows, arrowparquet.WithMaxRowGroupLength(int64(200+rng.IntN(500))), arrowparquet.WithDataPageSize(500),
			arrowparquet.WithPageIndexEnabled(i%2 == 0), arrowparquet.WithBloomFilterEnabled(i%3 == 0), arrowparquet.WithDictionaryDefault(i%4 < 2),
			arrowparquet.WithCompression([]arrowcompress.Compression{arrowcompress.Codecs.Uncompressed, arrowcompress.Codecs.Zstd}[i%2]))
		whole, out := filepath.Join(dir, "whole"), filepath.Join(dir, "out")
		job := Job{Inputs: []string{in}, Output: whole, Columns: []Column{{Name: "id", Plan: p}, {Name: "codes", Plan: p}}, Fingerprint: "jti"}
		want, err := Run(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		job.Output, job.checkpointEvery, job.Resume = out, time.Nanosecond, true
		sum, stops, resumed := resumeUntilDone(t, job, i, rng, 5, 9, original)
		if resumed == 0 {
			t.Fatalf("round %d: stopped %d times, never resumed: resuming was not tested", i, stops)
		}
		a, err1 := os.ReadFile(whole)
		b, err2 := os.ReadFile(out)
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Fatalf("round %d: differs after %d stops: %d and %d bytes, %v, %v", i, stops, len(a), len(b), err1, err2)
		}
		if sum.Rows != want.Rows || sum.Values != want.Values || sum.Empty != want.Empty || sum.BytesOut != want.BytesOut {
			t.Fatalf("round %d: %+v, want the counts of %+v", i, sum, want)
		}
		if left, _ := os.ReadDir(dir); len(left) != 3 {
			t.Fatalf("round %d: left %v", i, left)
		}
	}
}

// unsynced is an output file that is not synced, for tests of many small files.
type unsynced struct{ outFile }

func (unsynced) Sync() error { return nil }

// withoutSync is a Job.wrapOut.
func withoutSync(f outFile) outFile { return unsynced{f} }

// TestParquetDamaged checks that a run over a file with random bytes changed ends with an
// output or with an error that leaves nothing.
func TestParquetDamaged(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	failed := 0
	for name, opts := range map[string][]arrowparquet.WriterProperty{
		"dictionary":   {arrowparquet.WithDataPageVersion(arrowparquet.DataPageV2)},
		"plain":        {arrowparquet.WithDictionaryDefault(false)},
		"delta":        {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithEncodingFor("id", arrowparquet.Encodings.DeltaByteArray), arrowparquet.WithEncodingFor("codes.list.element", arrowparquet.Encodings.DeltaByteArray)},
		"delta length": {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithEncodingFor("id", arrowparquet.Encodings.DeltaLengthByteArray), arrowparquet.WithEncodingFor("codes.list.element", arrowparquet.Encodings.DeltaLengthByteArray)},
		"snappy":       {arrowparquet.WithCompression(arrowcompress.Codecs.Snappy), arrowparquet.WithPageIndexEnabled(true)},
		"gzip":         {arrowparquet.WithCompression(arrowcompress.Codecs.Gzip)},
		"zstd":         {arrowparquet.WithCompression(arrowcompress.Codecs.Zstd)},
		"brotli":       {arrowparquet.WithCompression(arrowcompress.Codecs.Brotli)},
		"lz4":          {arrowparquet.WithCompression(arrowcompress.Codecs.Lz4Raw)},
	} {
		writeArrow(t, in, cells(300, 100), opts...)
		good, err := os.ReadFile(in)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(uint64(len(name)), 9))
		for i := range rounds {
			b := append([]byte(nil), good...)
			for range 1 + rng.IntN(3) {
				at := rng.IntN(len(b))
				if rng.IntN(3) == 0 { // most often in the footer, on which everything depends
					at = len(b) - 1 - rng.IntN(min(len(b), 1500))
				}
				switch rng.IntN(4) {
				case 0:
					b[at] ^= 1 << rng.IntN(8)
				case 1:
					b[at] = []byte{0, 0xff, 0x7f, 0x80}[rng.IntN(4)]
				case 2:
					b[at] = byte(rng.Uint32())
				case 3:
					copy(b[at:], b[rng.IntN(len(b)):][:1])
				}
			}
			if err := os.WriteFile(in, b, 0o600); err != nil {
				t.Fatal(err)
			}
			job := Job{Inputs: []string{in}, Output: out, Force: true, Columns: []Column{{Name: "id", Plan: p}, {Name: "codes", Plan: p}}, Workers: 1, wrapOut: withoutSync}
			if _, err := Run(t.Context(), job); err != nil {
				failed++
				if left, _ := os.ReadDir(dir); len(left) != 1 {
					t.Fatalf("%s, round %d: left %v after %v", name, i, left, err)
				}
			}
			os.Remove(out)
		}
	}
	if failed == 0 {
		t.Fatal("no file was damaged")
	}
}

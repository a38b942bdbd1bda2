package bench

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/parquet-go/parquet-go"
)

// The programs that a run is measured against: what one writes for the job with
// the standard library, and a careful one. They make pseudonyms by AES-128 of the
// value, padded with zeros, and hexadecimal digits: less than a run does.

// blockCipher makes such pseudonyms.
type blockCipher struct{ b cipher.Block }

func newBlockCipher() (*blockCipher, error) {
	b, err := aes.NewCipher(make([]byte, 16))
	return &blockCipher{b}, err
}

// append appends the pseudonym of v.
func (c *blockCipher) append(dst, v []byte) []byte {
	var x [16]byte
	for {
		n := copy(x[:], v)
		c.b.Encrypt(x[:], x[:])
		if v = v[n:]; len(v) == 0 {
			return hex.AppendEncode(dst, x[:])
		}
	}
}

// stdCSV replaces column at with encoding/csv.
func stdCSV(w io.Writer, r io.Reader, at int, c *blockCipher) error {
	in := csv.NewReader(bufio.NewReaderSize(r, 1<<20))
	in.ReuseRecord = true
	buffered := bufio.NewWriterSize(w, 1<<20)
	out := csv.NewWriter(buffered)
	header := true
	var code []byte
	for {
		row, err := in.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if !header {
			code = c.append(code[:0], []byte(row[at]))
			row[at] = string(code)
		}
		header = false
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return err
	}
	return buffered.Flush()
}

// chunkedCSV replaces column at in chunks of whole lines. It knows quotes but not
// line feeds in them.
func chunkedCSV(w io.Writer, r io.Reader, at int, c *blockCipher) error {
	buf := make([]byte, 1<<20)
	var out []byte
	have, header := 0, true
	for {
		n, err := r.Read(buf[have:])
		have += n
		end := bytes.LastIndexByte(buf[:have], '\n') + 1
		if err == io.EOF {
			end = have
		} else if err != nil {
			return err
		}
		out = out[:0]
		rows := buf[:end]
		for len(rows) > 0 {
			line := rows
			if i := bytes.IndexByte(rows, '\n'); i >= 0 {
				line = rows[:i+1]
			}
			rows = rows[len(line):]
			if header {
				out, header = append(out, line...), false
				continue
			}
			p := 0
			for range at {
				if line[p] == '"' {
					for p++; line[p] != '"' || line[p+1] == '"'; p++ {
						if line[p] == '"' {
							p++
						}
					}
				}
				p += bytes.IndexByte(line[p:], ',') + 1
			}
			field := line[p:]
			if i := bytes.IndexAny(field, ",\n"); i >= 0 {
				field = field[:i]
			}
			out = append(out, line[:p]...)
			out = c.append(out, field)
			out = append(out, line[p+len(field):]...)
		}
		if _, err := w.Write(out); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
		have = copy(buf, buf[end:have])
		if have == len(buf) {
			return errors.New("bench: a line is longer than a chunk")
		}
	}
}

// stdJSON replaces patient.id with encoding/json.
func stdJSON(w io.Writer, r io.Reader, c *blockCipher) error {
	in := json.NewDecoder(bufio.NewReaderSize(r, 1<<20))
	in.UseNumber()
	out := bufio.NewWriterSize(w, 1<<20)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for {
		var line map[string]any
		if err := in.Decode(&line); err == io.EOF {
			return out.Flush()
		} else if err != nil {
			return err
		}
		patient, ok := line["patient"].(map[string]any)
		if !ok {
			return errors.New("bench: a line without a patient")
		}
		id, _ := patient["id"].(string)
		patient["id"] = string(c.append(nil, []byte(id)))
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
}

// parquetRow is a row of the Parquet benchmark: ten columns.
type parquetRow struct {
	ID     string  `parquet:"id,dict"`
	N      int64   `parquet:"n"`
	A      int64   `parquet:"a,delta"`
	B      float64 `parquet:"b"`
	C      int32   `parquet:"c"`
	Name   string  `parquet:"name,dict"`
	Town   string  `parquet:"town,dict"`
	State  string  `parquet:"state,dict"`
	Amount float64 `parquet:"amount"`
	Note   string  `parquet:"note"`
}

// writeParquet writes rows whose ids are so many different ones at most.
func writeParquet(path string, rows, distinct int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := parquet.NewGenericWriter[parquetRow](f, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(500_000))
	r := rand.New(rand.NewPCG(7, 1))
	batch := make([]parquetRow, 0, 1000)
	for i := range rows {
		batch = append(batch, parquetRow{
			ID: fmt.Sprintf("%013d", r.IntN(distinct)), N: int64(i), A: r.Int64N(1e6), B: r.Float64(), C: r.Int32N(100),
			Name: familyName[r.IntN(len(familyName))], Town: towns[r.IntN(len(towns))], State: states[r.IntN(len(states))],
			Amount: float64(r.IntN(1e6)) / 100, Note: noteWords[r.IntN(len(noteWords))],
		})
		if len(batch) == cap(batch) || i == rows-1 {
			if _, err := w.Write(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}

// stdParquet reads all rows with the library and writes them again.
func stdParquet(out, in string, c *blockCipher) error {
	r, err := os.Open(in)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	reader := parquet.NewGenericReader[parquetRow](r)
	defer reader.Close()
	w := parquet.NewGenericWriter[parquetRow](f, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(500_000))
	rows := make([]parquetRow, 1000)
	var code []byte
	for {
		n, err := reader.Read(rows)
		for i := range rows[:n] {
			code = c.append(code[:0], []byte(rows[i].ID))
			rows[i].ID = string(code)
		}
		if _, werr := w.Write(rows[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}

// medianOf returns the median of unsorted figures.
func medianOf(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return median(v)
}

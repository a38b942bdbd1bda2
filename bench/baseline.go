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
	"io"
	"slices"
)

// This file holds the programs that a run is compared with: a straightforward one with
// the standard library and an optimised one. Their pseudonym is the value padded with
// zeros, encrypted with AES-128 and written in hexadecimal, which is less work than a
// run does.

// blockCipher makes the pseudonyms of the compared programs.
type blockCipher struct{ b cipher.Block }

func newBlockCipher() (*blockCipher, error) {
	b, err := aes.NewCipher(make([]byte, 16))
	return &blockCipher{b}, err
}

// append appends the pseudonym of v to dst.
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

// stdCSV replaces the column with index at, using encoding/csv.
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

// chunkedCSV replaces the column with index at in chunks of whole lines. It handles
// quotes, but not line feeds within them.
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

// medianOf returns the median of v, which need not be sorted.
func medianOf(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return median(v)
}

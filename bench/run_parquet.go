//go:build peers

package bench

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/parquet-go/parquet-go"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// parquet measures one of ten columns, with few and with many distinct values.
func (b *runBench) parquet(s *Section) error {
	rows := int(b.size() / 64)
	for _, c := range []struct {
		name      string
		distinct  int
		must, aim float64
	}{
		{"Parquet, 20,000 different ids", 20_000, 8, 25},
		{"Parquet, nearly all ids differ", 1 << 40, 2, 4},
	} {
		b.o.logf("run: %s", c.name)
		if err := writeParquet(b.path("in.parquet"), rows, c.distinct); err != nil {
			return err
		}
		forward, err := b.plan(spec.Pseudonymise)
		if err != nil {
			return err
		}
		std, err := newBlockCipher()
		if err != nil {
			return err
		}
		cases := []Case{
			{Name: c.name, Amount: float64(rows), Ready: b.removeOutput("out.parquet"), Run: b.job("in.parquet", "out.parquet", "id", forward, 1)},
			{Name: c.name + ", re-encoded with the library", Amount: float64(rows), Ready: b.removeOutput("std.parquet"), Run: withCores(1, func() error { return stdParquet(b.path("std.parquet"), b.path("in.parquet"), std) })},
		}
		for _, k := range cases {
			if err := k.Run(); err != nil {
				return err
			}
		}
		if err := checkParquet(b.path("in.parquet"), b.path("out.parquet"), forward); err != nil {
			return err
		}
		st, err := Interleave(b.o.rounds(), cases)
		if err != nil {
			return err
		}
		const unit = "M rows/s"
		s.Rows = append(s.Rows, Against(st[0], st[1], unit, 1e6, c.must, c.aim), Plain(st[1], unit, 1e6))
	}
	return b.parquetTyped(s)
}

// checkParquet returns an error unless out is in with the values of the replaced column
// transformed by p, and all other columns unchanged.
func checkParquet(in, out string, p *suite.Plan) error {
	a, err := parquet.ReadFile[parquetRow](in)
	if err != nil {
		return err
	}
	b, err := parquet.ReadFile[parquetRow](out)
	if err != nil {
		return err
	}
	if len(a) != len(b) {
		return fmt.Errorf("bench: run: Parquet: %d rows became %d", len(a), len(b))
	}
	var batch suite.Batch
	for i := range a {
		batch.Src, batch.Spans, batch.Dst = []byte(a[i].ID), []uint32{0, uint32(len(a[i].ID))}, batch.Dst[:0]
		p.Transform(&batch)
		a[i].ID = string(batch.Dst)
		if a[i] != b[i] {
			return fmt.Errorf("bench: run: Parquet: row %d is wrong", i+1)
		}
	}
	return nil
}

// parquetRow is a row of the Parquet benchmark: ten columns.
type parquetRow struct {
	ID string `parquet:"id,dict"`
	Rest
}

// Rest is the columns of a row but for the id. The library reads exported structs within
// others only.
type Rest struct {
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

// writeParquet writes rows with at most the given number of distinct ids.
func writeParquet(path string, rows, distinct int) error {
	id := func(r *rand.Rand) int64 { return int64(r.IntN(distinct)) }
	return writeParquetRows(path, 1, rows, id, func(id int64, rest Rest) parquetRow { return parquetRow{fmt.Sprintf("%013d", id), rest} })
}

// writeParquetRows writes what row makes of an id and the other columns.
func writeParquetRows[T any](path string, seed uint64, rows int, id func(r *rand.Rand) int64, row func(id int64, rest Rest) T) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := parquet.NewGenericWriter[T](f, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(500_000))
	r := rand.New(rand.NewPCG(7, seed))
	batch := make([]T, 0, 1000)
	for i := range rows {
		batch = append(batch, row(id(r), Rest{
			N: int64(i), A: r.Int64N(1e6), B: r.Float64(), C: r.Int32N(100),
			Name: familyName[r.IntN(len(familyName))], Town: towns[r.IntN(len(towns))], State: states[r.IntN(len(states))],
			Amount: float64(r.IntN(1e6)) / 100, Note: noteWords[r.IntN(len(noteWords))],
		}))
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

// stdParquet reads all rows with parquet-go, replaces the ids and writes the rows.
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

//go:build peers

package bench

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/velonym/velonym/engine/spec"
)

type numberRow struct {
	ID int64 `parquet:"id"`
	Rest
}

type digitsRow struct {
	ID string `parquet:"id"`
	Rest
}

// parquetTyped compares a column of integers with a column of strings of the same digits.
func (b *runBench) parquetTyped(s *Section) error {
	const name = "Parquet, INT64 ids, nearly all differ"
	b.o.logf("run: %s", name)
	rows := int(b.size() / 64)
	if err := writeDigits(b.path("number.parquet"), rows, func(id int64, rest Rest) numberRow { return numberRow{id, rest} }); err != nil {
		return err
	}
	if err := writeDigits(b.path("digits.parquet"), rows, func(id int64, rest Rest) digitsRow {
		return digitsRow{strconv.FormatInt(id, 10), rest}
	}); err != nil {
		return err
	}
	forward, err := b.plan(spec.Pseudonymise)
	if err != nil {
		return err
	}
	cases := []Case{
		{Name: name, Amount: float64(rows), Ready: b.removeOutput("number-out.parquet"), Run: b.job("number.parquet", "number-out.parquet", "id", forward, 1)},
		{Name: name + ", as strings of the same digits", Amount: float64(rows), Ready: b.removeOutput("digits-out.parquet"), Run: b.job("digits.parquet", "digits-out.parquet", "id", forward, 1)},
	}
	for _, k := range cases {
		if err := k.Run(); err != nil {
			return err
		}
	}
	if err := sameParquet(b.path("number-out.parquet"), b.path("digits-out.parquet")); err != nil {
		return err
	}
	st, err := Interleave(b.o.rounds(), cases)
	if err != nil {
		return err
	}
	const unit = "M rows/s"
	s.Rows = append(s.Rows, Against(st[0], st[1], unit, 1e6, 0.7, 1), Plain(st[1], unit, 1e6))
	return nil
}

// writeDigits writes rows whose ids are numbers of 13 digits.
func writeDigits[T any](path string, rows int, row func(id int64, rest Rest) T) error {
	return writeParquetRows(path, 2, rows, func(r *rand.Rand) int64 { return 1e12 + r.Int64N(9e12) }, row)
}

// sameParquet compares two outputs row by row: the digits are the same, and so are their
// pseudonyms.
func sameParquet(one, other string) error {
	a, err := parquet.ReadFile[digitsRow](one)
	if err != nil {
		return err
	}
	b, err := parquet.ReadFile[digitsRow](other)
	if err != nil {
		return err
	}
	if len(a) != len(b) {
		return fmt.Errorf("bench: run: Parquet: %d and %d rows", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] || len(a[i].ID) != 32 {
			return fmt.Errorf("bench: run: Parquet: row %d is wrong", i+1)
		}
	}
	return nil
}

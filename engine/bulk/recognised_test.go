package bulk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// TestParquetAlreadyPseudonymised checks that Parquet that is already pseudonymised is refused
// with the count of pseudonyms, or with Again processed with a warning.
func TestParquetAlreadyPseudonymised(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in, once, twice := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "once.parquet"), filepath.Join(dir, "twice.parquet")
	rows := make([]cell, 300)
	for i := range rows {
		rows[i] = cell{id: strings.Repeat("x", 1+i%7), name: "n"}
	}
	writeArrow(t, in, rows)
	var warned []string
	job := Job{Inputs: []string{in}, Output: once, Columns: []Column{{Name: "id", Plan: p}}, Warn: func(w error) { warned = append(warned, w.Error()) }}
	sum, err := Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if len(sum.Columns) != 1 || sum.Columns[0] != (ColumnCount{Name: "id", Values: 300}) || sum.Values != 300 {
		t.Fatalf("%+v, %d values, want 300 of the column id only", sum.Columns, sum.Values)
	}
	job.Inputs, job.Output = []string{once}, twice
	_, err = Run(t.Context(), job)
	var e *Error
	if !errors.As(err, &e) || e.Column != "id" || !strings.Contains(err.Error(), "7 of the first 7 values here are pseudonyms of this project already") {
		t.Fatal(err)
	}
	if _, err := os.Stat(twice); err == nil {
		t.Fatal("a refused run left its output")
	}
	job.Again = true
	if sum, err = Run(t.Context(), job); err != nil || sum.Known != 7 || len(warned) != 1 || !strings.Contains(warned[0], "7 of 7 values") {
		t.Fatalf("%v, %d known, warned %q, want 7 known and one warning", err, sum.Known, warned)
	}
}

package bulk

import (
	"bytes"
	"encoding/base64"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/velonym/velonym/engine/spec"
)

// TestParquetArrowMetadata checks the metadata within the schema that Arrow keeps in a file,
// from which pyarrow and pandas take a file's metadata: it says of a column what the
// file's own says, and is what it was when the column has its type back.
func TestParquetArrowMetadata(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	dir := t.TempDir()
	in, out, again := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet"), filepath.Join(dir, "again.parquet")
	meta := arrow.NewMetadata([]string{"pandas", "owner"}, []string{pandasMeta, "register"})
	a, _ := typedArrows()[3].column(t, 20, true)
	rec := batchOf([]string{"id"}, a)
	sc := arrow.NewSchema(rec.Schema().Fields(), &meta)
	writeRecord(t, in, sc, rec)
	read := func(path string) arrow.Metadata {
		t.Helper()
		_, _, keys := readKept(t, path)
		raw, err := base64.StdEncoding.DecodeString(keys["ARROW:schema"])
		if err != nil {
			t.Fatal(err)
		}
		r, err := ipc.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		return r.Schema().Metadata()
	}
	if _, err := Run(t.Context(), Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: p}}}); err != nil {
		t.Fatal(err)
	}
	_, _, keys := readKept(t, out)
	now := read(out)
	for key, want := range map[string]string{"pandas": keys["pandas"], "velonym.types": keys["velonym.types"], "owner": "register"} {
		if got, _ := now.GetValue(key); got != want || want == "" || want == pandasMeta {
			t.Errorf("%s is %q within Arrow's schema and %q in the file", key, got, want)
		}
	}
	if _, err := Run(t.Context(), Job{Inputs: []string{out}, Output: again, Columns: []Column{{Name: "id", Plan: back}}}); err != nil {
		t.Fatal(err)
	}
	now = read(again)
	if got, _ := now.GetValue("pandas"); !equalJSON(got, pandasMeta) || slices.Contains(now.Keys(), "velonym.types") || now.Len() != 2 {
		t.Errorf("after the reverse: %v, want the metadata of the input", now)
	}
}

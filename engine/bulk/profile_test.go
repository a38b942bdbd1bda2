package bulk

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/bulk/profile"
)

// profileOf profiles a text as a file called name.
func profileOf(t *testing.T, name, text string, o ProfileOptions) (profile.Report, error) {
	t.Helper()
	o.Input = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(o.Input, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Profile(t.Context(), o)
}

// TestProfileCSV counts the columns of a register, as a file, compressed and as a stream.
func TestProfileCSV(t *testing.T) {
	path := filepath.Join("..", "..", "testdata", "patients.csv")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]ProfileOptions{"file": {Input: path}, "stream": {Stdin: bytes.NewReader(text)}, "gzip": {Stdin: bytes.NewReader(packed.Bytes())}} {
		r, err := Profile(t.Context(), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Format != "csv" || r.Rows != 2000 || len(r.Columns) != 10 || len(r.Notes) != 0 {
			t.Fatalf("%s: %+v, want 2000 rows of 10 columns and no notes", name, r)
		}
		yes := ""
		for _, c := range r.Columns {
			if c.Filled+c.Missing != 2000 || c.Distinct > c.Filled {
				t.Errorf("%s: %+v, want 2000 rows and no more distinct values than filled ones", name, c)
			}
			if c.Identifies == profile.Yes {
				yes += c.Name + " "
			}
		}
		if yes != "national_id family_name given_name address referrer_id " {
			t.Errorf("%s: identifying are %s", name, yes)
		}
		if id := r.Columns[1]; id.LooksLike != "national number of Luxembourg" || id.Missing == 0 || id.Distinct < 1300 || id.Distinct > 1700 {
			t.Errorf("%s: %+v", name, id)
		}
	}
}

// TestProfileHidesFirstRow checks that names are shown only if the first row is a header
// beyond doubt.
func TestProfileHidesFirstRow(t *testing.T) {
	const headerless = "Zaunkoenig,7714503926118\nRotkehlchen,7714503926126\n"
	for name, c := range map[string]struct {
		o     ProfileOptions
		names string
		rows  int64
		notes int
	}{
		"doubtful":  {ProfileOptions{}, ",", 1, 1},
		"no header": {ProfileOptions{NoHeader: true}, ",", 2, 0},
		"header":    {ProfileOptions{Header: true}, "Zaunkoenig,7714503926118", 1, 0},
	} {
		r, err := profileOf(t, "x.csv", headerless, c.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Columns[0].Name + "," + r.Columns[1].Name; got != c.names || r.Rows != c.rows || len(r.Notes) != c.notes {
			t.Errorf("%s: names %s, %d rows, notes %q, want %s, %d and %d notes", name, got, r.Rows, r.Notes, c.names, c.rows, c.notes)
		}
	}
	if _, err := profileOf(t, "x.csv", headerless, ProfileOptions{Header: true, NoHeader: true}); !errors.Is(err, ErrHeaderOrNot) {
		t.Error(err)
	}
}

// TestProfileJSON counts the paths of lines and of a document, with arrays, nulls, numbers and
// member names that look like values.
func TestProfileJSON(t *testing.T) {
	line := func(i int) string {
		return fmt.Sprintf(`{"patient":{"id":"%013d","tel":null,"a.b":"x"},"visits":[{"by":"dr %d"},{"by":"dr 2"}],"n":%d,"ok":true,"7714503926118":{"v":"y"}}`, i*7919*104729, i, i)
	}
	lines, document := "", "[\n"
	for i := range 100 {
		lines += line(i) + "\n"
		document += line(i) + ",\n"
	}
	lines += "{}\n"
	document += "{}]"
	for name, text := range map[string]string{"x.ndjson": lines, "x.json": document, "x": lines} {
		r, err := profileOf(t, name, text, ProfileOptions{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := map[string]profile.ColumnReport{}
		for _, c := range r.Columns {
			got[c.Name] = c
		}
		if r.Rows != 101 || len(got) != 7 || len(r.Notes) != 1 {
			t.Fatalf("%s: %d rows, %+v, %q, want 101 rows, 7 columns and one note", name, r.Rows, got, r.Notes)
		}
		if c := got["patient.id"]; c.Filled != 100 || c.Missing != 1 || c.Identifies != profile.Yes || c.NotText != 0 {
			t.Errorf("%s: %+v", name, c)
		}
		if got["patient.tel"].Missing != 101 || got["visits.by"].Filled != 200 || got["n"].NotText != 100 || got["ok"].NotText != 100 || got[`patient.a\.b`].Filled != 100 || got["*.v"].Filled != 100 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestProfileParquet counts a column with a dictionary and one without, and nulls.
func TestProfileParquet(t *testing.T) {
	rows := make([]cell, 500)
	for i := range rows {
		rows[i] = cell{id: fmt.Sprintf("%013d", i%100*7919), name: "n"}
	}
	path := filepath.Join(t.TempDir(), "x.parquet")
	writeArrow(t, path, rows)
	r, err := Profile(t.Context(), ProfileOptions{Input: path})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, c := range r.Columns {
		if c.Name == "id" {
			found = true
			if c.Filled != 500 || c.Distinct < 95 || c.Distinct > 105 || c.LooksLike != "13 digits" || c.Identifies != profile.Yes {
				t.Errorf("%+v", c)
			}
		}
	}
	if !found || r.Rows != 500 || r.Format != "parquet" {
		t.Errorf("%+v, want 500 rows of parquet and the column", r)
	}
}

// TestProfileErrors checks that damaged input gives an error with its position and without a
// value.
func TestProfileErrors(t *testing.T) {
	for name, c := range map[string]struct {
		file, text, want string
		o                ProfileOptions
	}{
		"bare quote":   {"x.csv", "id,name\n1,Zaun\"koenig\n", "x.csv: line 2, column 7", ProfileOptions{}},
		"open quote":   {"x.csv", "id,name\n1,x\n2,\"Zaunkoenig\n", "x.csv: line 3: a quote opened in the row that starts here is never closed", ProfileOptions{}},
		"long row":     {"x.csv", "id,name\n1,\"" + strings.Repeat("Zaunkoenig\n", 500_000), "x.csv: ", ProfileOptions{MaxRow: 1000}},
		"JSON":         {"x.ndjson", `{"id":"1"}` + "\n" + `{"id":Zaunkoenig}`, "x.ndjson (byte ", ProfileOptions{}},
		"JSON is cut":  {"x.ndjson", `{"id":"1"}` + "\n" + `{"id":"Zaunkoenig`, "cut short", ProfileOptions{}},
		"not Parquet":  {"x.parquet", "Zaunkoenig,Zaunkoenig,Zaunkoenig", "x.parquet", ProfileOptions{}},
		"a zip":        {"x.csv", "PK\x03\x04Zaunkoenig", "zip archive", ProfileOptions{}},
		"empty":        {"x.csv", "", "is empty", ProfileOptions{}},
		"many columns": {"x.csv", strings.Repeat("a,", 5000) + "a\n1,2\n", "5001 columns", ProfileOptions{Header: true}},
	} {
		_, err := profileOf(t, c.file, c.text, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "Zaun") || strings.Contains(err.Error(), "'Z'") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Profile(t.Context(), ProfileOptions{Input: filepath.Join(t.TempDir(), "none.csv")}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestProfileRagged checks that rows of other lengths are counted and noted.
func TestProfileRagged(t *testing.T) {
	r, err := profileOf(t, "x.csv", "id,name\n1,a\n2\n3,c,d\n", ProfileOptions{})
	if err != nil || r.Rows != 3 || r.Columns[0].Filled != 3 || r.Columns[1].Missing != 1 || len(r.Notes) != 1 || !strings.HasPrefix(r.Notes[0], "2 rows") {
		t.Errorf("%v, %+v, want 3 rows, one missing name and a note on 2 rows", err, r)
	}
}

// TestProfileLarge checks counts over many buffers, and that memory does not grow with the
// file.
func TestProfileLarge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString("id,note\n")
	const rows = 60_000
	for range rows {
		fmt.Fprintf(&b, "%013d,\"a note\nwith two lines, %d\"\n", r.Int64N(1e13), r.IntN(100))
	}
	p, err := Profile(t.Context(), ProfileOptions{Stdin: &b})
	if err != nil || p.Rows != rows || p.Columns[0].Filled != rows || p.Columns[0].Distinct < rows*95/100 || p.Columns[1].Distinct < 95 || p.Columns[1].Distinct > 105 {
		t.Errorf("%v, %+v", err, p)
	}
}

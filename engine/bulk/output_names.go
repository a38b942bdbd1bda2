package bulk

import (
	"path/filepath"
	"strings"
)

// formatOfSuffix returns the format that the suffix of a name states, Auto if it states
// none.
func formatOfSuffix(name string) Format {
	base := name
	if bySuffix(base) != None {
		base = strings.TrimSuffix(base, filepath.Ext(base))
	}
	switch ext := strings.ToLower(filepath.Ext(base)); ext {
	case ".csv":
		return CSV
	case ".xlsx", ".xls", ".xlsb", ".ods", ".avro", ".orc", ".db", ".sqlite", ".sqlite3", ".zip", ".bz2", ".xz", ".7z", ".pdf", ".lz4":
		return Format(ext[1:]) // not a format this package writes
	}
	if f := byName(name); f != CSV {
		return f
	}
	return Auto
}

// checkOutputNames refuses outputs whose suffix states another format or compression than
// they will have. An output always has the format of its input.
func (r *run) checkOutputNames(src, in, out string, format Format) error {
	for _, side := range []string{r.Rejects, r.Mapping} {
		if c := bySuffix(side); c != None {
			return usagef("%s: the name says %s, and such files are not compressed; leave the suffix %s out", side, c, filepath.Ext(side))
		}
	}
	if f := formatOfSuffix(r.Rejects); r.Rejects != "" && f != Auto && !r.suffixAllowed(f, format) {
		return usagef("%s: the name says %s, and the rows of %s are %s; give it the suffix .%s", r.Rejects, f, src, format, format)
	}
	if out == "-" {
		return nil
	}
	if c := bySuffix(out); r.Compress != AutoCompression && c != None && c != r.Compress {
		return &CompressionNameError{out, c, r.Compress}
	}
	says := formatOfSuffix(out)
	if says == Auto || says == formatOfSuffix(in) && r.keepsInputName(in, out) || r.suffixAllowed(says, format) {
		return nil
	}
	return &OutputNameError{Path: out, Input: src, Says: says, Format: format,
		ByJob: r.Format != Auto, ByContent: in == "-" || formatOfSuffix(in) == Auto}
}

// keepsInputName reports whether out is a file in an output folder, named after its input.
func (r *run) keepsInputName(in, out string) bool {
	bare := func(path string) string {
		name := filepath.Base(path)
		if bySuffix(name) != None {
			name = strings.TrimSuffix(name, filepath.Ext(name))
		}
		return name
	}
	return r.Output != out && bare(in) == bare(out)
}

// suffixAllowed reports whether a file of a format may have the suffix of the format says:
// CSV with tabs may be named .tsv, TSV with another delimiter .csv, and NDJSON .json.
func (r *run) suffixAllowed(says, format Format) bool {
	switch {
	case says == format:
		return true
	case says == JSON && format == NDJSON:
		return true
	case says == TSV && format == CSV:
		return r.Comma == '\t' || r.FindComma
	case says == CSV && format == TSV:
		return r.Comma != 0 && r.Comma != '\t' || r.FindComma
	}
	return false
}

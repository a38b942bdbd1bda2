package bulk

import (
	"path/filepath"
	"strings"
)

// nameSays returns the format that the suffix of a name states, Auto if it states
// none.
func nameSays(name string) Format {
	base := name
	if bySuffix(base) != None {
		base = strings.TrimSuffix(base, filepath.Ext(base))
	}
	switch ext := strings.ToLower(filepath.Ext(base)); ext {
	case ".csv":
		return CSV
	case ".xlsx", ".xls", ".xlsb", ".ods", ".arrow", ".arrows", ".feather", ".avro", ".orc", ".db", ".sqlite", ".sqlite3", ".zip", ".bz2", ".xz", ".7z", ".pdf", ".lz4":
		return Format(ext[1:]) // of no kind that is written
	}
	if f := byName(name); f != CSV {
		return f
	}
	return Auto
}

// agree refuses an output whose name says that it is what it will not be: another
// format than that of the input, which is the one that is written, or packed in
// another way.
func (r *run) agree(src, in, out string, format Format) error {
	for _, side := range []string{r.Rejects, r.Mapping} {
		if c := bySuffix(side); c != None {
			return usagef("%s: the name says %s, and such files are not compressed; leave the suffix %s out", side, c, filepath.Ext(side))
		}
	}
	if f := nameSays(r.Rejects); r.Rejects != "" && f != Auto && !r.mayBeNamed(f, format) {
		return usagef("%s: the name says %s, and the rows of %s are %s; give it the suffix .%s", r.Rejects, f, src, format, format)
	}
	if out == "-" {
		return nil
	}
	if c := bySuffix(out); r.Compress != AutoCompression && c != None && c != r.Compress {
		return &CompressionNameError{out, c, r.Compress}
	}
	says := nameSays(out)
	if says == Auto || says == nameSays(in) && r.sameName(in, out) || r.mayBeNamed(says, format) {
		return nil
	}
	return &OutputNameError{Path: out, Input: src, Says: says, Format: format,
		ByJob: r.Format != Auto, ByContent: in == "-" || nameSays(in) == Auto}
}

// sameName says whether an output in a folder has the name of its input.
func (r *run) sameName(in, out string) bool {
	bare := func(path string) string {
		name := filepath.Base(path)
		if bySuffix(name) != None {
			name = strings.TrimSuffix(name, filepath.Ext(name))
		}
		return name
	}
	return r.Output != out && bare(in) == bare(out)
}

// mayBeNamed says whether a file of a format may have a name that says another one: tabs
// make TSV of CSV, commas CSV of TSV, and lines of JSON may be named .json.
func (r *run) mayBeNamed(says, format Format) bool {
	switch {
	case says == format:
		return true
	case says == JSON && format == NDJSON:
		return true
	case says == TSV && format == CSV:
		return r.Comma == '\t'
	case says == CSV && format == TSV:
		return r.Comma != 0 && r.Comma != '\t'
	}
	return false
}

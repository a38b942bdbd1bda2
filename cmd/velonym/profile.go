package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/engine/bulk/profile"
)

// profileFlags are the flags of `velonym profile`.
type profileFlags struct {
	options bulk.ProfileOptions
	format  string
	comma   string
	quote   string
	coding  string
	project string
	asJSON  bool
}

func newProfile(*globals) *cobra.Command {
	var f profileFlags
	cmd := &cobra.Command{
		Use:   "profile [FILE]",
		Short: "Describe the columns of a file without showing a value, and suggest which to replace",
		Long: `Reads a CSV, TSV, NDJSON, JSON or Parquet file, plain or compressed, and reports for
each column how many values there are, about how many are different, what they look
like (13 digits, mail addresses, dates, UUIDs, names …), and whether they may identify
people. It then prints the command that would replace the columns that do.

It needs no keystore, sends nothing anywhere, and never prints a value or a part of one.
It shows the names in the first row only if that row is a header beyond doubt, or with
--header. Memory does not depend on the size of the file.

The suggestions are guesses from the values and from words in the names. Check every
column: what is not suggested may still identify people, alone or with others.`,
		Example: `  velonym profile patients.csv
  velonym profile --project register --json register.parquet
  velonym profile --no-header dump.csv.gz`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.format, "format", "auto", "csv, tsv, ndjson, json or parquet (auto: by the input's suffix and content)")
	fl.StringVar(&f.coding, "encoding", "", "of CSV and JSON: utf-8, utf-16, utf-16le, utf-16be, latin1, windows-1252, or auto (by content); default: UTF-8, or UTF-16 with a byte order mark")
	fl.StringVar(&f.comma, "comma", "", "separator, one character, \\t, or auto (the one that divides the first rows evenly); default: a tab for TSV, else a comma")
	fl.StringVar(&f.quote, "quote", "\"", "none: quotes have no meaning, as in many TSV files")
	fl.BoolVar(&f.options.NoHeader, "no-header", false, "the first row is data")
	fl.BoolVar(&f.options.Header, "header", false, "the first row is the header, even if it looks like data")
	sizeVar(fl, &f.options.MaxRow, "max-row", 0, "longest row (default 16MiB)")
	sizeVar(fl, &f.options.MaxMemory, "max-memory", 0, "memory for the footer and a page of Parquet (default 1GiB)")
	checkedVar(fl, &f.project, "project", "NAME", "NAME", "project for the suggested command", notEmpty)
	fl.BoolVar(&f.asJSON, "json", false, "as JSON: {file, format, rows, columns: [{number, name, filled, missing, distinct, kinds, looks_like, identifies …}], notes, command}")
	return cmd
}

func (f *profileFlags) run(cmd *cobra.Command, args []string) (err error) {
	o := &f.options
	if o.Header && o.NoHeader {
		return usagef("profile: --header and --no-header say opposite things; give one")
	}
	if o.Format, err = bulk.ParseFormat(f.format); err != nil {
		return flagErrorOf("profile", "format", err)
	}
	if o.Encoding, err = bulk.ParseEncoding(f.coding); err != nil {
		return flagErrorOf("profile", "encoding", err)
	}
	if o.Comma, o.FindComma, err = parseComma(f.comma); err != nil {
		return err
	}
	if o.NoQuotes, err = parseQuote(f.quote); err != nil {
		return err
	}
	if len(args) == 1 {
		o.Input = args[0]
	}
	o.Stdin = cmd.InOrStdin()
	report, err := bulk.Profile(cmd.Context(), *o)
	if err != nil {
		return wordRunError(err)
	}
	suggestion := f.suggest(report)
	if f.asJSON {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(struct {
			profile.Report
			Command string `json:"command,omitempty"`
		}{report, suggestion})
	}
	return printProfile(cmd.OutOrStdout(), report, suggestion)
}

// printProfile writes a report as a table, followed by notes and the suggested command.
func printProfile(out io.Writer, r profile.Report, suggestion string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %d rows, %d columns\n\n", printable(r.File), r.Format, r.Rows, len(r.Columns))
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "#\tCOLUMN\tFILLED\tDIFFERENT\tLOOKS LIKE\tIDENTIFIES")
	var maybe []string
	for _, c := range r.Columns {
		name := c.Name
		if name == "" {
			name = "-"
		}
		identifies := string(c.Identifies)
		if c.Why != "" && c.Why != c.LooksLike {
			identifies += ": " + c.Why
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%s\t%s\n", c.Number, printable(name), percent(c.Filled, c.Filled+c.Missing), c.Distinct, c.LooksLike, identifies)
		if c.Identifies == profile.Maybe {
			maybe = append(maybe, printable(columnLabel(c)))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	b.WriteByte('\n')
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "Note: %s.\n", note)
	}
	for _, c := range r.Columns {
		if c.Identifies == profile.Yes && c.Controls > 0 {
			fmt.Fprintf(&b, "Note: %d values of %s contain line ends or control characters, or are not UTF-8; they cannot be transformed, and --on-error null empties them.\n",
				c.Controls, printable(columnLabel(c)))
		}
	}
	if len(maybe) > 0 {
		fmt.Fprintf(&b, "May identify people together or in some values; decide yourself: %s\n", strings.Join(maybe, ", "))
	}
	if suggestion == "" {
		b.WriteString("No column was recognised as identifying. Check the columns yourself.\n")
	} else {
		fmt.Fprintf(&b, "To replace the columns that identify people:\n\n  %s\n", suggestion)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// percent formats a share of a whole. Only a complete one is 100 %, and only an empty one
// 0 %.
func percent(part, whole int64) string {
	switch {
	case whole == 0:
		return "-"
	case part == 0 || part == whole:
		return fmt.Sprintf("%d %%", 100*part/whole)
	}
	return fmt.Sprintf("%.1f %%", min(max(100*float64(part)/float64(whole), 0.1), 99.9))
}

// columnLabel names a column for people.
func columnLabel(c profile.ColumnReport) string {
	if c.Name == "" {
		return "#" + strconv.Itoa(c.Number)
	}
	return c.Name
}

// suggest returns the command that replaces the columns that identify people, or "" if
// there are none that a run can name.
func (f *profileFlags) suggest(r profile.Report) string {
	words := []string{"velonym", "run", "--project", f.project}
	columns, padded, notText, controls := 0, false, false, false
	for _, c := range r.Columns {
		flag, ok := columnValue(c, r)
		if c.Identifies != profile.Yes || !ok {
			continue
		}
		columns++
		padded = padded || c.Padded > 0
		notText = notText || c.NotText > 0
		controls = controls || c.Controls > 0
		words = append(words, "--column", flag)
	}
	if columns == 0 {
		return ""
	}
	if padded {
		words = append(words, "--norm", "trim")
	}
	if notText {
		words = append(words, "--numbers", "text")
	}
	if controls {
		words = append(words, "--on-error", "null")
	}
	if f.options.NoHeader {
		words = append(words, "--no-header")
	}
	if f.options.Header {
		words = append(words, "--header")
	}
	if f.comma != "" {
		words = append(words, "--comma", f.comma)
	}
	if f.options.NoQuotes {
		words = append(words, "--quote", "none")
	}
	if f.coding != "" {
		words = append(words, "--encoding", f.coding)
	}
	if f.options.Format != bulk.Auto {
		words = append(words, "--format", string(f.options.Format))
	}
	for i, w := range words {
		words[i] = shellQuote(w)
	}
	command := strings.Join(words, " ")
	if in := f.options.Input; in != "" && in != "-" {
		return command + " -o " + shellQuote(pseudonymised(in)) + " " + shellQuote(in)
	}
	return command + " < IN > OUT"
}

// columnValue returns the value of run's flag --column for a column. It is the column's
// number if the name is ambiguous or unknown; ok is false if nothing names the column.
func columnValue(c profile.ColumnReport, r profile.Report) (flag string, ok bool) {
	isJSON := r.Format == string(bulk.NDJSON) || r.Format == string(bulk.JSON)
	if isJSON {
		return strings.ReplaceAll(c.Name, "=", `\=`), c.Name != "" && !hasHiddenName(c.Name)
	}
	same := 0
	for _, other := range r.Columns {
		if other.Name == c.Name {
			same++
		}
	}
	if _, err := strconv.Atoi(c.Name); c.Name == "" || err == nil || same > 1 || printable(c.Name) != c.Name || strings.Contains(c.Name, `\`) {
		return "#" + strconv.Itoa(c.Number), true
	}
	flag = strings.ReplaceAll(c.Name, "=", `\=`)
	if strings.HasPrefix(flag, "#") {
		flag = `\` + flag
	}
	return flag, true
}

// hasHiddenName reports whether a name in a path is hidden, as it looks like a value.
func hasHiddenName(path string) bool {
	for name := range strings.SplitSeq(path, ".") {
		if name == "*" {
			return true
		}
	}
	return false
}

// pseudonymised returns the name of the output for an input: register.csv.gz becomes
// register.pseudonymised.csv.gz.
func pseudonymised(in string) string {
	dir, name := filepath.Split(in)
	stem, suffixes := name, ""
	for range 2 {
		ext := filepath.Ext(stem)
		switch strings.ToLower(ext) {
		case ".gz", ".gzip", ".zst", ".zstd", ".csv", ".tsv", ".tab", ".txt", ".ndjson", ".jsonl", ".json", ".parquet", ".pq":
			stem, suffixes = strings.TrimSuffix(stem, ext), ext+suffixes
		}
	}
	return dir + stem + ".pseudonymised" + suffixes
}

// shellQuote quotes a word for a POSIX shell if necessary.
func shellQuote(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+,-") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

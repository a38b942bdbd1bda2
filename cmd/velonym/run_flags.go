package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode/utf8"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/engine/token"
)

// runFlags are the flags of `velonym run`.
type runFlags struct {
	trust     verifierFlags
	tokenFile string
	local     token.LocalRequest
	norm      string
	server    string
	inFlight  int
	reverse   bool

	columns    []string
	header     string
	comma      string
	format     string
	encoding   string
	outputEnc  string
	quote      string
	compress   string
	onError    string
	numbers    string
	part       string
	recipients []string
	job        bulk.Job
	asJSON     bool
	quiet      bool

	manifestToCheck string
}

func newRun(g *globals) *cobra.Command { return new(runFlags).command(g) }

// command returns the verb run. It is long because of its help and one line per flag.
func (f *runFlags) command(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run --token-file F | --project NAME   --column NAME … [-o OUT] [FILE …]",
		Short: "Replace the named columns of files",
		Long: `Replaces the values of the named columns of CSV, TSV, NDJSON, JSON, Parquet and Arrow
files, plain, gzip or zstd, and passes every other byte through as it came. What is done
with the values is in the token; with --project it is the project's own policy.
Without a file, or with -, it reads standard input; without -o it writes standard
output.

An output file gets its name only when it is complete. On error, run reports file,
line and column, never the value, and removes its output. A Parquet file is read back
before it gets its name; on standard output that is impossible, so prefer -o.
Arrow is IPC streams and files (Feather); run writes each batch of a stream before it
reads the next, so that one program can hold both ends of the pipes. Integers, decimals
without fraction, UUIDs and bytes of a fixed length become strings in Parquet and Arrow,
and a reverse gives them their type back.

In NDJSON and JSON a column is a path of member names joined by dots, patient.id,
which also leads through arrays. Names are case-sensitive. A dot within a name is
written \. and a backslash \\. A path that no line of a file has is an error, unless
--allow-missing is given; lines without it, and nulls, are counted. A number, true,
false or an object at a path, and anything but an object on the way to it, is an
error (or what --on-error says), unless --allow-other-shapes passes and counts it.
A member that occurs twice in an object is replaced twice. In --column NAME=TOKENFILE
an = within the name is written \= (or give the column by its number).

In CSV a column given as a number, 2, is the second one. If the header also has that
number as a name, #2 is the number; a name that begins with # is written \#2. A first
line sep=; names the separator. Run refuses, with the remedy, whatever could leave
values in clear: lines that end in CR alone, two columns of one name, a first row that
looks like data (--header, --no-header), a repeated header within the data
(--repeated-header), values that are already pseudonyms of the project (--again), and
an output whose suffix contradicts its format.

A run obeys the limits of its token on values in total and values a second. The limit
on values a request does not apply to a run.` + normHelp,
		Example: `  velonym run --token-file token --column national_id -o out.csv patients.csv
  velonym run --project demo --op reverse --column 2 < out.csv > back.csv
  velonym run --token-file t1 --column id --column doctor=t2 -o out.csv.zst in.csv.gz
  velonym run --token-file token --column patient.id -o out.ndjson in.ndjson`,
		RunE: func(cmd *cobra.Command, files []string) error { return f.run(cmd, g, files) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.tokenFile, "token-file", "", "file that holds the token, or - (default: env VELONYM_TOKEN)")
	fl.StringVar(&f.local.Project, "project", "", "instead of a token, for the local operator: the project, whose policy applies")
	fl.StringVar(&f.local.Org, "org", "", "with --project: its organisation")
	fl.StringVar((*string)(&f.local.Op), "op", "", "with --project: pseudonymise (default), reverse or secondary")
	fl.StringVar(&f.local.Source, "source", "", "with --op secondary: the project that made the pseudonyms")
	fl.StringVar(&f.local.SourceOrg, "source-org", "", "with --op secondary: its organisation")
	fl.StringVar((*string)(&f.local.Form), "form", "", "with --project: form of the pseudonyms (default: the project's)")
	fl.StringVar(&f.norm, "norm", "", "with --project: steps before the transform: trim, nfc, upper, lower, digits")
	fl.StringVar(&f.server, "server", "", "URL of a Velonym server that does the work and receives the token, with or without the endpoint's path")
	fl.IntVar(&f.inFlight, "concurrency", 0, "with --server: concurrent requests (default 4)")
	fl.BoolVar(&f.reverse, "reverse", false, "with --server and a token that is not a JWT: call the reversing endpoint")
	fl.StringArrayVar(&f.columns, "column", nil, "column to replace, by name, number from 1 (#2, or 2 if no column has that name), or path in NDJSON (repeatable); NAME=TOKENFILE gives it a token of its own, \\= is an = in the name, \\# a # at its start")
	fl.BoolVar(&f.job.AllowMissing, "allow-missing", false, "JSON: warn, and do not fail, if no line has a path")
	fl.BoolVar(&f.job.AllowOther, "allow-other-shapes", false, "JSON: pass and count what is not a string (numbers, objects) at a path or on the way to it")
	fl.StringVarP(&f.job.Output, "output", "o", "-", "file to write, or an existing folder")
	fl.StringVar(&f.format, "format", "auto", "csv, tsv, ndjson, json (an array, or values over several lines), parquet or arrow (auto: by the input's suffix, JSON, Parquet and Arrow by their content too)")
	fl.StringVar(&f.encoding, "encoding", "", "of CSV and JSON: utf-8, utf-16, utf-16le, utf-16be, latin1, windows-1252, or auto (by content, told on standard error); default: UTF-8, or UTF-16 with a byte order mark. Values are transformed as UTF-8 in any case")
	fl.StringVar(&f.outputEnc, "output-encoding", "", "of the output and rejected rows: as --encoding, or utf-8-bom for spreadsheets (default: the input's)")
	fl.StringVar(&f.compress, "compress", "auto", "of the output: none, gzip or zstd (auto: by its suffix)")
	fl.BoolVar(&f.job.NoHeader, "no-header", false, "the first row is data; name columns by number")
	fl.BoolVar(&f.job.Header, "header", false, "the first row is the header, even if it looks like data")
	fl.StringVar(&f.header, "repeated-header", "fail", "a row that repeats the header, as in concatenated files: fail, pass (unchanged, counted) or value (replace its values)")
	fl.BoolVar(&f.job.Again, "again", false, "pseudonymise again, with a warning, values that are already pseudonyms of the project (otherwise they are refused)")
	fl.BoolVar(&f.job.ShowColumns, "show-columns", false, "if a column is unknown, list the names in the first row even if it may be data")
	fl.BoolVar(&f.job.Ragged, "ragged", false, "accept rows of differing numbers of fields that contain the columns")
	fl.IntVar(&f.job.SkipLines, "skip-lines", 0, "CSV: lines before the header, such as a title, that are copied as they are")
	fl.StringVar(&f.comma, "comma", "", "separator, one character, \\t, or auto (the one that divides the first rows evenly, told on standard error); default: a tab for TSV, else a comma")
	fl.StringVar(&f.quote, "quote", "\"", "none: quotes have no meaning, as in many TSV files; a result that holds a separator or line end is an error then")
	fl.StringVar(&f.onError, "on-error", "fail", "if a value cannot be transformed: fail (stop, write nothing), null (empty the field), keep (move its row to --rejects)")
	fl.StringVar(&f.numbers, "numbers", "refuse", "a number as identifier in JSON: refuse, or text (transform its text as it stands; a reverse gives strings back). With text, a reversed column of Parquet or Arrow stays one of strings too")
	fl.StringVar(&f.job.Rejects, "rejects", "", "with --on-error keep: file for the rejected rows")
	fl.StringSliceVar(&f.job.Null, "null", nil, "values that mean a missing value and pass through, such as NA,NULL")
	fl.BoolVar(&f.job.Force, "force", false, "replace an existing output file")
	fl.BoolVar(&f.job.Resume, "resume", false, "continue an interrupted run (Arrow starts anew)")
	fl.BoolVar(&f.job.DryRun, "dry-run", false, "report what would fail and where, write nothing")
	fl.StringVar(&f.part, "part", "", "i/n: process the i-th of n shares of the file, cut at row ends (not of Arrow)")
	fl.IntVar(&f.job.Workers, "workers", 0, "cores to use (default: all)")
	sizeVar(fl, &f.job.MaxRow, "max-row", 0, "longest row (default 16MiB)")
	sizeVar(fl, &f.job.MaxMemory, "max-memory", 0, "memory for the counters of policy document, for a page of Parquet with its results, and for a batch of Arrow (default 1GiB)")
	fl.StringVar(&f.job.Mapping, "mapping", "", "also write identifier, pseudonym pairs to this file, sealed to --mapping-recipient")
	fl.StringArrayVar(&f.recipients, "mapping-recipient", nil, "age recipient, age1… (repeatable)")
	fl.BoolVar(&f.job.Manifest, "manifest", false, "also write OUT.velonym.json: what the run did, and digests of input and output")
	fl.StringVar(&f.manifestToCheck, "check", "", "verify the files that a manifest names, and do nothing else")
	fl.BoolVar(&f.asJSON, "json", false, "summary as JSON on standard error")
	fl.BoolVar(&f.quiet, "quiet", false, "no progress and no summary")
	f.trust.add(fl)
	return cmd
}

// validate checks the flags before any file is opened, and fills in the job.
func (f *runFlags) validate(files []string) (err error) {
	j := &f.job
	switch {
	case len(f.columns) == 0:
		return usagef("run: name the columns to replace with --column")
	case f.local.Project != "" && f.tokenFile != "":
		return usagef("run: give --token-file or --project, not both")
	case f.local.Project != "" && f.server != "":
		return usagef("run: a server wants a token: give --token-file")
	case (f.inFlight != 0 || f.reverse) && f.server == "":
		return usagef("run: --concurrency and --reverse go with --server")
	case f.local.Project == "" && (f.local.Op != "" || f.local.Org != "" || f.local.Source != "" || f.local.Form != "" || f.norm != ""):
		return usagef("run: --op, --org, --source, --form and --norm go with --project; a token carries its own")
	case f.tokenFile == "-" && (len(files) == 0 || files[0] == "-"):
		return usagef("run: standard input cannot give both the token and the data")
	case len(f.recipients) > 0 && j.Mapping == "":
		return usagef("run: --mapping-recipient goes with --mapping")
	case f.inFlight < 0:
		return usagef("run: --concurrency must not be negative")
	}
	if err := f.validateLocal(); err != nil {
		return err
	}
	j.Inputs = files
	if j.Format, err = bulk.ParseFormat(f.format); err != nil {
		return flagError("format", err)
	}
	if j.Compress, err = bulk.ParseCompression(f.compress); err != nil {
		return flagError("compress", err)
	}
	if j.OnError, err = bulk.ParseOnError(f.onError); err != nil {
		return flagError("on-error", err)
	}
	if j.RepeatedHeader, err = bulk.ParseRepeatedHeader(f.header); err != nil {
		return flagError("repeated-header", err)
	}
	if j.Numbers, err = bulk.ParseNumbers(f.numbers); err != nil {
		return flagError("numbers", err)
	}
	if j.Encoding, err = bulk.ParseEncoding(f.encoding); err != nil {
		return flagError("encoding", err)
	}
	if j.OutputEncoding, err = bulk.ParseOutputEncoding(f.outputEnc); err != nil {
		return flagError("output-encoding", err)
	}
	if j.Comma, j.FindComma, err = parseComma(f.comma); err != nil {
		return err
	}
	if j.NoQuotes, err = parseQuote(f.quote); err != nil {
		return err
	}
	if f.part != "" {
		i, n, ok := strings.Cut(f.part, "/")
		var errI, errN error
		j.Part, errI = strconv.Atoi(i)
		j.Parts, errN = strconv.Atoi(n)
		if !ok || errI != nil || errN != nil || j.Part < 1 || j.Parts < j.Part {
			return usagef("--part: write i/n, for example 2/8 for the second of eight shares")
		}
	}
	for _, r := range f.recipients {
		list, err := age.ParseRecipients(strings.NewReader(r))
		if err != nil {
			return usagef("--mapping-recipient: %w", err)
		}
		j.Recipients = append(j.Recipients, list...)
	}
	version, commit := buildVersion()
	j.Version = version + " " + commit
	return nil
}

// validateLocal checks the flags that need --project.
func (f *runFlags) validateLocal() error {
	l := &f.local
	if l.Op != "" {
		if _, err := spec.ParseOp(string(l.Op)); err != nil {
			return flagError("op", err)
		}
	}
	if l.Form != "" {
		if _, err := spec.ParseForm(string(l.Form)); err != nil {
			return flagError("form", err)
		}
	}
	if f.norm != "" {
		l.Norm = splitNorm(f.norm)
		if _, err := suite.ParseNorm(l.Norm); err != nil {
			return flagError("norm", err)
		}
	}
	switch {
	case l.Op == spec.Secondary && l.Source == "":
		return usagef("run: --op secondary needs --source, the project that made the pseudonyms")
	case l.Op != spec.Secondary && (l.Source != "" || l.SourceOrg != ""):
		return usagef("run: --source and --source-org go with --op secondary")
	}
	return nil
}

// parseComma parses --comma; empty gives 0, the format's default, and auto find.
func parseComma(s string) (comma byte, find bool, err error) {
	switch {
	case s == "":
		return 0, false, nil
	case s == "auto":
		return 0, true, nil
	case s == `\t`:
		return '\t', false, nil
	case len(s) != 1 || strings.ContainsAny(s, "\"\r\n") || s[0] >= utf8.RuneSelf:
		return 0, false, usagef("--comma: auto, or one ASCII character, and neither a quote nor a line end")
	}
	return s[0], false, nil
}

// parseQuote parses --quote.
func parseQuote(s string) (none bool, err error) {
	switch s {
	case `"`, "double":
		return false, nil
	case "none":
		return true, nil
	}
	return false, usagef(`--quote: none or double ("); files with other quotes are not read`)
}

// flagError returns a usage error of run that names the flag instead of the package that
// refused its value.
func flagError(flag string, err error) error { return flagErrorOf("run", flag, err) }

// flagErrorOf is flagError for any verb.
func flagErrorOf(verb, flag string, err error) error {
	text := err.Error()
	if _, after, ok := strings.Cut(text, ": "); ok {
		text = after
	}
	return usagef("%s: --%s: %s", verb, flag, text)
}

// parseColumn parses a value of --column: NAME or #N, optionally followed by =TOKENFILE.
// In a name \= stands for = and a leading \# for #. number is 0 unless s is #N.
func parseColumn(s string) (name string, number int, file string, hasToken bool) {
	name = s
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		} else if s[i] == '=' {
			name, file, hasToken = s[:i], s[i+1:], true
			break
		}
	}
	if digits, ok := strings.CutPrefix(name, "#"); ok {
		if n, err := strconv.Atoi(digits); err == nil && n > 0 && digits[0] != '+' {
			return "", n, file, hasToken
		}
	}
	if strings.HasPrefix(name, `\#`) {
		name = name[1:]
	}
	return strings.ReplaceAll(name, `\=`, "="), 0, file, hasToken
}

// columnTokenError describes an error of the token of the column called name.
func columnTokenError(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("run: --column %s: %w; behind = stands a file that holds a token: an = that belongs to the column's name is written \\=, or name the column by its number", name, err)
	}
	return fmt.Errorf("column %s: %w", name, err)
}

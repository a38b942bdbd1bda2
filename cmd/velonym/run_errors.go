package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/engine/suite"
)

// engine/bulk does not know flags. This file adds to its errors the flag that is the
// remedy.

// contradictions holds the texts for jobs whose options exclude each other.
var contradictions = []struct {
	err  error
	text string
}{
	{bulk.ErrNegative, "--workers, --max-row and --max-memory must not be negative"},
	{bulk.ErrMaxRow, "--max-row: rows of more than 1 GiB are not read"},
	{bulk.ErrRejectsWithoutKeep, "--rejects needs --on-error keep"},
	{bulk.ErrKeepWithoutRejects, "--on-error keep keeps rows out of the output: say with --rejects where they go"},
	{bulk.ErrHeaderOrNot, "--header and --no-header say opposite things; give one"},
	{bulk.ErrCommaOrFind, "--comma states the separator or is auto"},
	{bulk.ErrSideFileOnStdout, "--rejects and --mapping name files, not standard output"},
	{bulk.ErrSameSideFiles, "--rejects and --mapping are the same file"},
	{bulk.ErrNoRecipient, "--mapping needs a recipient to be sealed to: --mapping-recipient age1…"},
	{bulk.ErrDryRunSideFiles, "--dry-run writes no mapping file and no manifest"},
	{bulk.ErrManifestFiles, "--manifest is written beside one output file of one input file: name both"},
	{bulk.ErrFolderNeeded, "several inputs need an existing folder as output (-o FOLDER)"},
	{bulk.ErrServerURL, "--server: write https://host:port"},
}

// runError is an error of a run with the command's text for it.
type runError struct {
	text string
	err  error
}

func (e runError) Error() string { return e.text }
func (e runError) Unwrap() error { return e.err }

// wordRunError returns the error of bulk.Run with the remedy's flags in its text.
func wordRunError(err error) error {
	if err == nil {
		return nil
	}
	return runError{runErrorText(err), err}
}

// runErrorText returns the command's text for err. In the text of an error that wraps
// another one, it replaces the text of the cause.
func runErrorText(err error) string {
	for _, u := range contradictions {
		if err == u.err {
			return "run: " + u.text
		}
	}
	if text, ok := jobErrorText(err); ok {
		return text
	}
	if text, ok := rowErrorText(err); ok {
		return text
	}
	cause := errors.Unwrap(err)
	if cause == nil {
		return err.Error()
	}
	text := strings.Replace(err.Error(), cause.Error(), runErrorText(cause), 1)
	switch err.(type) {
	case *bulk.InterruptedError:
		return text + "; --resume goes on from here"
	case *bulk.ResumeError:
		return text + "; without --resume the run starts from the beginning"
	}
	return text
}

// jobErrorText returns the text for an error of a whole job or file.
func jobErrorText(err error) (text string, ok bool) {
	switch e := err.(type) {
	case *bulk.ServerPathError:
		return fmt.Sprintf("run: --server: the URL ends in %s, and the token is for %s: leave the path out", e.Named, e.Wanted), true
	case *bulk.CompressionNameError:
		return fmt.Sprintf("run: %s: the name says %s, and --compress says %s; leave one of them out", e.Path, e.Says, e.Job), true
	case *bulk.OutputNameError:
		switch {
		case e.ByJob:
			return fmt.Sprintf("run: %s: the name says %s, and --format says %s; formats are not converted, give the output the suffix .%s", e.Path, e.Says, e.Format, e.Format), true
		case e.ByContent:
			return fmt.Sprintf("run: %s: the name says %s, and %s is read as %s; say with --format what it is, formats are not converted", e.Path, e.Says, e.Input, e.Format), true
		}
	case *bulk.ExistsError:
		return fmt.Sprintf("%s: exists; --force overwrites it: %v", e.Path, e.Unwrap()), true
	case *bulk.KindError:
		if e.Parquet {
			return e.Error() + ", without --format or with --format parquet", true
		}
	case *bulk.NotCSVError:
		return e.Error() + ": use --format json, or ndjson for one value a line", true
	case *bulk.KeepError:
		if e.Format == bulk.Parquet || e.Format == bulk.Arrow {
			return e.Error() + "; use --on-error null", true
		}
		return fmt.Sprintf("run: %s: --on-error keep takes lines out, and a JSON document is not made of lines; use --on-error null, or make lines of it first, as with jq -c '.[]'", e.File), true
	case *bulk.SeparatorError:
		return fmt.Sprintf("run: %s: its first line says that the separator is %q, and --comma says %q; leave --comma out", e.File, e.Found, e.Asked), true
	case *bulk.UnknownColumnError:
		switch {
		case e.Names == nil:
			return e.Error() + ": --show-columns shows them as the names they are taken for; without a header, give --no-header and columns by number", true
		case e.Separator != "":
			return fmt.Sprintf("%v; if %q separates them, give --comma '%s'", e, e.Separator, strings.ReplaceAll(e.Separator, "\t", `\t`)), true
		}
	case *bulk.Error:
		if e.Code == suite.ValueNotText && e.Line > 0 {
			return e.Error() + "; if the file is in another encoding than UTF-8, state it with --encoding, such as windows-1252", true
		}
	case *bulk.EncodingError:
		switch _, err := bulk.ParseEncoding(string(e.Found)); {
		case err != nil: // the text names iconv
		case e.Asked == bulk.UTF8:
			return fmt.Sprintf("%s: is %s; give --encoding %s", e.File, e.Found, e.Found), true
		default:
			return fmt.Sprintf("%s: is %s, and --encoding says %s; leave it out, or give --encoding %s", e.File, e.Found, e.Asked, e.Found), true
		}
	case *bulk.FirstRowsError:
		return e.Error() + "; give it with --comma", true
	case *bulk.FirstRowWarning:
		return e.Error() + "; give --no-header if it is data, or --header if it is the header", true
	case *bulk.HeaderDiffersError:
		return fmt.Sprintf("run: %s: its header is not that of the first input, and --rejects puts the rows of all into one file; do the files one by one", e.File), true
	case *bulk.TypesError:
		return e.Error() + "; --numbers text reverses without it, and leaves the columns strings", true
	case *bulk.MissingPathError:
		return e.Error() + "; --allow-missing only warns", true
	case *bulk.NothingReplacedError:
		before, _, _ := strings.Cut(e.Error(), ", and it would") // keeps the column's name as bulk shortens it
		return fmt.Sprintf("%s, and --on-error null would leave it empty (%d values); --dry-run says why", before, e.Values), true
	case *bulk.CountersError:
		return fmt.Sprintf("policy document: the counters of about %d different values need more than --max-memory allows, %d MiB; raise it, or make several documents of the input", e.Values, max(e.Limit>>20, 1)), true
	case *bulk.MemoryError:
		limit := max(e.Limit>>20, 1)
		if e.Footer {
			return fmt.Sprintf("the footer of %d MiB unfolds to more than --max-memory allows, %d MiB; raise it", e.Need>>20, limit), true
		}
		return fmt.Sprintf("%s needs about %d MiB, more than --max-memory allows, %d MiB; raise it, or have the file written with smaller pages", e.What, (e.Need+1<<20-1)>>20, limit), true
	case *bulk.BatchMemoryError:
		return fmt.Sprintf("%s needs about %d MiB, more than --max-memory allows, %d MiB; raise it, or have the input written in smaller batches", e.What, (e.Need+1<<20-1)>>20, max(e.Limit>>20, 1)), true
	}
	if err == bulk.ErrStdoutClosed {
		return err.Error() + "; name a file with -o", true
	}
	return "", false
}

// rowErrorText returns the text for an error of a row. The error that wraps it tells the
// position.
func rowErrorText(err error) (text string, ok bool) {
	switch e := err.(type) {
	case *bulk.FirstRowError:
		return e.Error() + "; give --no-header if it is, or --header if it is the header", true
	case *bulk.RowTooLongError:
		return e.Error() + " --max-row raises the limit", true
	case *bulk.FieldCountError:
		return fmt.Sprintf("another number of fields than the first row has; --ragged lets such rows pass: %v", e.Err), true
	case *bulk.EncodeError:
		return e.Error() + "; give another --output-encoding", true
	case *bulk.PseudonymsError:
		return e.Error() + "; --again pseudonymises them once more", true
	case *bulk.JSONError:
		if e.Cut {
			return e.Error() + "; a value that goes over several lines is read with --format json", true
		}
	case *bulk.RestoreError:
		return e.Error() + "; --numbers text leaves such columns strings", true
	case *bulk.OtherShapeError:
		if e.Number {
			return e.Error() + ", or give --numbers text, which transforms its text as it stands (a reverse gives strings back); --allow-other-shapes lets such values pass, and counts them", true
		}
		return e.Error() + "; --allow-other-shapes lets such values pass, and counts them", true
	}
	switch err {
	case bulk.ErrHeaderAgain:
		return err.Error() + "; --repeated-header pass lets such rows pass, value replaces their values too", true
	case bulk.ErrHeaderReordered:
		return err.Error() + ", or --repeated-header value takes this row for data", true
	}
	return "", false
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/internal/simd"
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
	compress   string
	onError    string
	part       string
	recipients []string
	check      string
	job        bulk.Job
	asJSON     bool
	quiet      bool
}

func newRun(g *globals) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run --token-file F | --project NAME   --column NAME … [-o OUT] [FILE …]",
		Short: "Replace the named columns of files",
		Long: `Replaces the values of the named columns of CSV, TSV, NDJSON, JSON and Parquet files,
plain, gzip or zstd, and passes every other byte through as it came. What is done
with the values is in the token; with --project it is the project's own policy.
Without a file, or with -, it reads standard input; without -o it writes standard
output.

A file that is written gets its name only when it is complete. An error names
file, line and column, never the value, and leaves nothing behind. Parquet is read
back before it gets its name; written to standard output it is not: prefer -o.

A column of NDJSON or JSON is a path of member names joined by dots, and arrays are
gone through: patient.id. Upper and lower case differ. A dot within a name is written
\. and a backslash \\. A path that no line of a file has is an error, unless
--allow-missing is given; lines without it, and nulls, are counted. A number, true,
false or an object at a path, and anything but an object on the way to it, is an
error (or what --on-error says), unless --allow-other-shapes lets it pass, counted.
A member that is given twice in an object is replaced twice. In
--column NAME=TOKENFILE an = that belongs to the name is written \= (or the column
is named by its number).

A column of CSV that is given as a number, 2, is the second one; where the header
has that number as a name too, #2 is always the number, and a name that begins so
is written \#2. A first line sep=; names the separator. What could leave values in
clear is refused and says what to do: lines that end in CR alone, two columns of
one name, a first row that looks like data (--header, --no-header), the header
again within the data (--repeated-header), values that are pseudonyms of the project
already (--again), an output whose suffix states another
format than is written.

Of a token's limits a run keeps to the values in its life and to those a second.
The limit a request only cuts what is asked for at a time: a run is no request.` + normHelp,
		Example: `  velonym run --token-file token --column national_id -o out.csv patients.csv
  velonym run --project demo --op reverse --column 2 < out.csv > back.csv
  velonym run --token-file t1 --column id --column doctor=t2 -o out.csv.zst in.csv.gz
  velonym run --token-file token --column patient.id -o out.ndjson in.ndjson`,
		RunE: func(cmd *cobra.Command, files []string) error { return f.run(cmd, g, files) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.tokenFile, "token-file", "", "file that holds the token, or - (default: env VELONYM_TOKEN)")
	fl.StringVar(&f.local.Project, "project", "", "instead of a token: the local operator's short way, with the project's policy")
	fl.StringVar(&f.local.Org, "org", "", "with --project: its organisation")
	fl.StringVar(&f.local.Op, "op", "", "with --project: pseudonymise (default), reverse or secondary")
	fl.StringVar(&f.local.Source, "source", "", "with --op secondary: the project that made the pseudonyms")
	fl.StringVar(&f.local.SourceOrg, "source-org", "", "with --op secondary: its organisation")
	fl.StringVar(&f.local.Format, "form", "", "with --project: shape of a pseudonym (default: the project's)")
	fl.StringVar(&f.norm, "norm", "", "with --project: steps before the transform: trim, nfc, upper, lower, digits")
	fl.StringVar(&f.server, "server", "", "let a server of the same contract do the work: its URL, with or without the path of the contract; the token goes there")
	fl.IntVar(&f.inFlight, "concurrency", 0, "with --server: requests at a time (default 4)")
	fl.BoolVar(&f.reverse, "reverse", false, "with --server and a token that is no JWT: ask it to reverse")
	fl.StringArrayVar(&f.columns, "column", nil, "column to replace, by name, number from 1 (#2, or 2 if no column has that name), or path in NDJSON (repeatable); NAME=TOKENFILE gives it a token of its own, \\= is an = in the name, \\# a # at its start")
	fl.BoolVar(&f.job.AllowMissing, "allow-missing", false, "JSON: only warn of a path that no line has")
	fl.BoolVar(&f.job.AllowOther, "allow-other-shapes", false, "JSON: let pass, and count, what is no string (numbers, objects) at a path or on the way to it")
	fl.StringVarP(&f.job.Output, "output", "o", "-", "file to write, or an existing folder")
	fl.StringVar(&f.format, "format", "auto", "csv, tsv, ndjson, json (an array, or values over several lines) or parquet (auto: by the input's suffix, JSON by its content too)")
	fl.StringVar(&f.compress, "compress", "auto", "of the output: none, gzip or zstd (auto: by its suffix)")
	fl.BoolVar(&f.job.NoHeader, "no-header", false, "the first row is data; name columns by number")
	fl.BoolVar(&f.job.Header, "header", false, "the first row is the header, even where it looks like the rows below")
	fl.StringVar(&f.header, "repeated-header", "fail", "a row that is the header again (files put one behind the other): fail, pass (as it is, counted) or value (replace its values)")
	fl.BoolVar(&f.job.Again, "again", false, "pseudonymise values that are pseudonyms of the project already once more, with a warning (else they are refused)")
	fl.BoolVar(&f.job.ShowColumns, "show-columns", false, "an unknown column: list the names of the first row even if it may be data")
	fl.BoolVar(&f.job.Ragged, "ragged", false, "let rows of other lengths pass, as long as they hold the columns")
	fl.StringVar(&f.comma, "comma", "", "separator, one character or \\t (default: a tab for TSV, else a comma)")
	fl.StringVar(&f.onError, "on-error", "fail", "a value that cannot be transformed: fail (stop, write nothing), null (empty the field), keep (keep its row out; needs --rejects)")
	fl.StringVar(&f.job.Rejects, "rejects", "", "with --on-error keep: file for the rows kept out")
	fl.StringSliceVar(&f.job.Null, "null", nil, "values that stand for none and pass through, such as NA,NULL")
	fl.BoolVar(&f.job.Force, "force", false, "replace an output file that exists")
	fl.BoolVar(&f.job.Resume, "resume", false, "go on with an interrupted run")
	fl.BoolVar(&f.job.DryRun, "dry-run", false, "count what would fail and where, write nothing")
	fl.StringVar(&f.part, "part", "", "i/n: do the i-th of n exact shares of the file")
	fl.IntVar(&f.job.Workers, "workers", 0, "cores to use (default: all)")
	sizeVar(fl, &f.job.MaxRow, "max-row", 0, "longest row (default 16MiB)")
	sizeVar(fl, &f.job.MaxMemory, "max-memory", 0, "memory for the counters of policy document, and for a page of Parquet with its results (default 1GiB)")
	fl.StringVar(&f.job.Mapping, "mapping", "", "also write identifier, pseudonym pairs to this file, sealed to --mapping-recipient")
	fl.StringArrayVar(&f.recipients, "mapping-recipient", nil, "age recipient, age1… (repeatable)")
	fl.BoolVar(&f.job.Manifest, "manifest", false, "also write OUT.velonym.json: what was done, digests of input and output")
	fl.StringVar(&f.check, "check", "", "verify the files that a manifest names, and do nothing else")
	fl.BoolVar(&f.asJSON, "json", false, "summary as JSON on standard error")
	fl.BoolVar(&f.quiet, "quiet", false, "no progress and no summary")
	f.trust.add(fl)
	return cmd
}

func (f *runFlags) run(cmd *cobra.Command, g *globals, files []string) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	if f.check != "" {
		report, err := bulk.Check(ctx, f.check)
		for _, line := range report {
			fmt.Fprintln(cmd.OutOrStdout(), line)
		}
		return err
	}
	if err := f.read(files); err != nil {
		return err
	}
	if f.server != "" {
		if err := f.remote(cmd.InOrStdin()); err != nil {
			return err
		}
		return f.report(stderr, cmd, nil)
	}
	ks, err := g.openKeystore(ctx)
	if err != nil {
		return err
	}
	defer ks.Close()
	verifier, err := newVerifier(ctx, ks, f.trust)
	if err != nil {
		return err
	}
	defer verifier.Close()
	grants, err := f.grants(ctx, cmd.InOrStdin(), verifier)
	defer func() {
		for _, g := range grants {
			g.Release()
		}
	}()
	log, closeLog, logErr := g.openAudit(ctx, ks)
	if logErr != nil {
		return errors.Join(err, logErr)
	}
	if err != nil {
		return errors.Join(err, f.recordRefused(log, err), closeLog())
	}
	// A reader of standard output that goes away is an error that is recorded, not
	// the end of the process.
	gone := make(chan os.Signal, 1)
	signal.Notify(gone, syscall.SIGPIPE)
	defer signal.Stop(gone)
	id := token.NewID()
	if err := recordBegun(log, id, grants); err != nil {
		return errors.Join(err, closeLog())
	}
	return errors.Join(f.report(stderr, cmd, func(sum bulk.Summary, err error) error {
		return record(log, id, grants, sum, outcome(err))
	}), closeLog())
}

// read judges the flags, before anything is opened, and fills in the job.
func (f *runFlags) read(files []string) (err error) {
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
	case f.local.Project == "" && (f.local.Op != "" || f.local.Org != "" || f.local.Source != "" || f.local.Format != "" || f.norm != ""):
		return usagef("run: --op, --org, --source, --form and --norm go with --project; a token carries its own")
	case f.tokenFile == "-" && (len(files) == 0 || files[0] == "-"):
		return usagef("run: standard input cannot give both the token and the data")
	case len(f.recipients) > 0 && j.Mapping == "":
		return usagef("run: --mapping-recipient goes with --mapping")
	case f.inFlight < 0:
		return usagef("run: --concurrency must not be negative")
	}
	if err := f.readLocal(); err != nil {
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
	if f.comma == `\t` {
		f.comma = "\t"
	}
	if f.comma != "" {
		if len(f.comma) != 1 || strings.ContainsAny(f.comma, "\"\r\n") || f.comma[0] >= utf8.RuneSelf {
			return usagef("--comma: one ASCII character, and neither a quote nor a line end")
		}
		j.Comma = f.comma[0]
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

// readLocal judges the flags that go with --project.
func (f *runFlags) readLocal() error {
	l := &f.local
	if l.Op != "" {
		if _, err := suite.ParseOp(l.Op); err != nil {
			return flagError("op", err)
		}
	}
	if l.Format != "" {
		if _, err := suite.ParseFormat(l.Format); err != nil {
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
	case l.Op == "secondary" && l.Source == "":
		return usagef("run: --op secondary needs --source, the project that made the pseudonyms")
	case l.Op != "secondary" && (l.Source != "" || l.SourceOrg != ""):
		return usagef("run: --source and --source-org go with --op secondary")
	}
	return nil
}

// flagError is a usage error that names the flag, in place of the room that
// refused its value.
func flagError(flag string, err error) error {
	text := err.Error()
	if _, after, ok := strings.Cut(text, ": "); ok {
		text = after
	}
	return usagef("run: --%s: %s", flag, text)
}

// columnFlag reads NAME or NAME=TOKENFILE; in a name \= is an =. #N is the number of
// a column, whatever their names, and \#N a name.
func columnFlag(s string) (name string, number int, file string, own bool) {
	name = s
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		} else if s[i] == '=' {
			name, file, own = s[:i], s[i+1:], true
			break
		}
	}
	if digits, ok := strings.CutPrefix(name, "#"); ok {
		if n, err := strconv.Atoi(digits); err == nil && n > 0 && digits[0] != '+' {
			return "", n, file, own
		}
	}
	if strings.HasPrefix(name, `\#`) {
		name = name[1:]
	}
	return strings.ReplaceAll(name, `\=`, "="), 0, file, own
}

// columnToken words the error of a column's own token.
func columnToken(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("run: --column %s: %w; behind = stands a file that holds a token: an = that belongs to the column's name is written \\=, or name the column by its number", name, err)
	}
	return fmt.Errorf("column %s: %w", name, err)
}

// remote gives every column a server instead of a plan.
func (f *runFlags) remote(stdin io.Reader) error {
	main := f.tokenFile
	servers := map[string]*bulk.Remote{}
	for _, column := range f.columns {
		name, number, file, own := columnFlag(column)
		if !own {
			file = main
		}
		if servers[file] == nil {
			raw, err := readToken(file, stdin)
			if err != nil && own {
				return columnToken(name, err)
			}
			if err != nil {
				return err
			}
			servers[file] = &bulk.Remote{URL: f.server, Token: raw, Concurrency: f.inFlight, Reverse: f.reverse}
		}
		f.job.Columns = append(f.job.Columns, bulk.Column{Name: name, Number: number, Remote: servers[file]})
	}
	return nil
}

// grants returns what the token or the project allows, and gives every column
// its plan. The first one is that of the run.
func (f *runFlags) grants(ctx context.Context, stdin io.Reader, v *token.Verifier) (list []*token.Grant, err error) {
	open := func(file string) (*token.Grant, error) {
		raw, err := readToken(file, stdin)
		if err != nil {
			return nil, err
		}
		grant, err := v.Verify(ctx, raw, token.OpsAny)
		if err != nil {
			return nil, refusal(tokenDomain(err, raw))
		}
		list = append(list, grant)
		return grant, nil
	}
	var main *token.Grant
	for _, column := range f.columns {
		name, number, file, own := columnFlag(column)
		grant := main
		switch {
		case own:
			if grant, err = open(file); err != nil {
				return list, columnToken(name, err)
			}
		case main == nil && f.local.Project != "":
			if main, err = v.Local(ctx, f.local); err != nil {
				dom := token.PSN{Dom: token.Domain{Prj: f.local.Project, Org: f.local.Org}, Gen: f.local.Gen}
				if f.local.Source != "" {
					dom.Src = &token.Domain{Prj: f.local.Source, Org: f.local.SourceOrg}
				}
				return list, f.localError(namedDomain(err, &dom))
			}
			list = append(list, main)
			grant = main
		case main == nil:
			if main, err = open(f.tokenFile); err != nil {
				return list, err
			}
			grant = main
		}
		f.job.Columns = append(f.job.Columns, bulk.Column{
			Name: name, Number: number, Plan: grant.Plan, Spend: spender(grant), Describe: describeGrant(grant)})
		f.job.Fingerprint += grantIdentity(grant) + "\n"
	}
	return list, nil
}

// localError words why --project was refused: by its state, or because the flags
// ask for what does not go with it.
func (f *runFlags) localError(err error) error {
	var refused *token.Error
	if errors.As(err, &refused) || errors.Is(err, token.ErrUnavailable) || errors.Is(err, context.Canceled) {
		return refusal(err)
	}
	if f.local.Format != "" {
		return usagef("run: --form %s does not go with the project's method, policy and tag", f.local.Format)
	}
	return flagError("project", err)
}

// refusal adds a refused token's code to its text.
func refusal(err error) error {
	var refused *token.Error
	if errors.As(err, &refused) {
		return refusedError{refused}
	}
	return err
}

// refusedError is a refused token's error with its code in its text.
type refusedError struct{ err *token.Error }

func (e refusedError) Error() string { return e.err.Code + ": " + e.err.Detail }
func (e refusedError) Unwrap() error { return e.err }

// spender has a run keep to its token's budget, and stop within a second when
// the token is revoked or the project severed. A rate is waited for. A run is no
// request, so a limit a request cuts its pieces only.
func spender(g *token.Grant) func(context.Context, int) error {
	return func(ctx context.Context, values int) error {
		piece := values
		if req := g.Claims.PSN.Lim.Req; req > 0 && int64(piece) > req {
			piece = int(req)
		}
		for done := 0; ; {
			n := min(piece, values-done)
			err := g.Spend(ctx, n)
			var refused *token.Error
			switch {
			case err == nil:
				if done += n; done >= values {
					return nil
				}
			case errors.As(err, &refused) && refused.RetryAfter > 0:
				select {
				case <-time.After(refused.RetryAfter):
				case <-ctx.Done():
					return bulk.ErrInterrupted
				}
			default:
				return refusal(err)
			}
		}
	}
}

// describeGrant is what a manifest says of a column.
func describeGrant(g *token.Grant) map[string]string {
	p := &g.Claims.PSN
	d := map[string]string{"op": p.Op, "project": p.Dom.Prj, "method": p.Method, "policy": p.Policy, "form": p.Fmt, "suite": "a256-1"}
	if !strings.HasPrefix(g.Claims.ID, "local:") { // a local grant's id says nothing, and differs from run to run
		d["token"] = g.Claims.ID
	}
	if p.Dom.Org != "" {
		d["org"] = p.Dom.Org
	}
	if p.Src != nil {
		d["source"] = p.Src.Prj
	}
	return d
}

// grantIdentity tells whether an interrupted run may go on with a grant: one for
// another domain, operation or shape of pseudonyms differs; another token for the same
// does not, so that a run whose token ended goes on with a fresh one.
func grantIdentity(g *token.Grant) string {
	p := g.Claims.PSN
	gen := -1
	if p.Gen != nil {
		gen = *p.Gen
	}
	var src token.Domain
	if p.Src != nil {
		src = *p.Src
	}
	return fmt.Sprintf("%q %q %q %q %q %q %d %d %q", p.Op, p.Dom, src, p.Method, p.Policy, p.Fmt, p.Tag, gen, p.Norm)
}

// outcome is what the audit log says of a run: OK, the code of a token's refusal,
// or FAILED.
func outcome(err error) string {
	var refused *token.Error
	switch {
	case err == nil:
		return "OK"
	case errors.As(err, &refused):
		return refused.Code
	}
	return "FAILED"
}

// recordRefused writes a run into the audit log that was refused before it began;
// what failed otherwise did nothing and is not recorded.
func (f *runFlags) recordRefused(log *audit.Log, err error) error {
	var refused *token.Error
	if !errors.As(err, &refused) {
		return nil
	}
	r := audit.Record{Kind: "run", Request: token.NewID(), Outcome: refused.Code, Sync: true}
	if l := &f.local; l.Project != "" { // else nobody has vouched for what the token says
		r.Project, r.Org, r.Source, r.SrcOrg, r.Op = l.Project, l.Org, l.Source, l.SourceOrg, cmp.Or(l.Op, "pseudonymise")
	}
	return log.Append(r)
}

// recordBegun writes the grants that reverse into the audit log before anything is
// reversed: a run that is killed leaves identifiers in its temporary file.
func recordBegun(log *audit.Log, id string, grants []*token.Grant) error {
	var reversing []*token.Grant
	for _, g := range grants {
		if g.Op == suite.Reverse {
			reversing = append(reversing, g)
		}
	}
	return record(log, id, reversing, bulk.Summary{}, "BEGUN")
}

// record writes what a run did into the audit log, one record a grant; id is the same
// in all records of a run.
func record(log *audit.Log, id string, grants []*token.Grant, sum bulk.Summary, outcome string) error {
	for _, g := range grants {
		psn := &g.Claims.PSN
		r := audit.Record{
			Kind: "run", Request: id, JTI: g.Claims.ID, Project: psn.Dom.Prj, Org: psn.Dom.Org, Op: psn.Op,
			Values: sum.Values + sum.Empty + sum.Errors, Empty: sum.Empty, Bad: sum.Errors, Outcome: outcome, Sync: true,
		}
		if psn.Src != nil {
			r.Source, r.SrcOrg = psn.Src.Prj, psn.Src.Org
		}
		if err := log.Append(r); err != nil {
			return err
		}
	}
	return nil
}

// report does the job, says how far it is and what it did, and hands the
// outcome to record, if there is one.
func (f *runFlags) report(w io.Writer, cmd *cobra.Command, record func(bulk.Summary, error) error) error {
	j := f.job
	j.Stdin, j.Stdout = cmd.InOrStdin(), cmd.OutOrStdout()
	bar := newProgress(w, f.quiet || f.asJSON)
	j.Progress = bar.show
	j.Warn = func(warning error) { fmt.Fprintf(w, "velonym: %s\n", runErrorText(warning)) }
	sum, err := bulk.Run(cmd.Context(), j)
	err = wordRunError(err)
	bar.done()
	if record != nil {
		err = errors.Join(err, record(sum, err))
	}
	if errors.Is(err, bulk.ErrUsage) {
		return usageError{err}
	}
	if f.asJSON {
		return errors.Join(err, dryFailures(j, sum, err), json.NewEncoder(w).Encode(struct {
			bulk.Summary
			Outcome string `json:"outcome"`
			Kernel  string `json:"kernel"`
		}{sum, outcome(err), simd.Kernel()}))
	}
	for _, e := range sum.Failures {
		fmt.Fprintf(w, "%s: line %d, column %q: %s\n", e.File, e.Line, e.Column, e.Code)
	}
	for _, c := range sum.Columns {
		if err == nil && !f.quiet && c.Missing+c.Null+c.Other > 0 {
			fmt.Fprintf(w, "column %q: %d rows do not have it, %d null, %d of another shape left as they are\n", c.Name, c.Missing, c.Null, c.Other)
		}
	}
	if err == nil && !f.quiet {
		fmt.Fprintf(w, "%d rows, %d values replaced (about %d different), %d empty, %d not transformed%s, %.2f s, %.0f MB/s, kernel %s\n",
			sum.Rows, sum.Values, sum.Distinct, sum.Empty, sum.Errors, leftRows(sum), sum.Seconds, float64(sum.BytesIn)/1e6/max(sum.Seconds, 1e-9), simd.Kernel())
	}
	return errors.Join(err, dryFailures(j, sum, err))
}

// leftRows says of the summary's rows which ones were left, if any were.
func leftRows(sum bulk.Summary) string {
	s := ""
	if sum.Rejected > 0 {
		s += fmt.Sprintf(", %d rows kept out", sum.Rejected)
	}
	if sum.RepeatedHeaders > 0 {
		s += fmt.Sprintf(", %d repeated headers passed", sum.RepeatedHeaders)
	}
	return s
}

// dryFailures is the error of a dry run that found what would fail.
func dryFailures(j bulk.Job, sum bulk.Summary, err error) error {
	if err != nil || !j.DryRun || sum.Errors == 0 {
		return nil
	}
	return fmt.Errorf("dry run: %d of the values cannot be transformed", sum.Errors)
}

// auditPlace adds to an error of opening the record of what was done how it can be
// written elsewhere.
func auditPlace(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: nothing is done without a record: give --dir a folder that is there and can be written, and say with --keystore and --master-key where those are", err)
	}
	return err
}

// openAudit opens the record of what was done, beside the keystore, whose key signs
// its heads. What is returned closes it.
func (g *globals) openAudit(ctx context.Context, ks *keys.Keystore) (*audit.Log, func() error, error) {
	path, err := g.inFolder("audit.jsonl")
	if err != nil {
		return nil, nil, err
	}
	signer, err := ks.HeadSigner(ctx)
	if err != nil {
		return nil, nil, err
	}
	log, err := audit.Open(path, audit.Options{Signer: signer})
	if err != nil {
		return nil, nil, errors.Join(auditPlace(err), signer.Close())
	}
	return log, func() error { return errors.Join(log.Close(), signer.Close()) }, nil
}

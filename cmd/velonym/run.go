package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/token"
)

// run executes the verb: it validates the flags, turns tokens into grants, records the
// run in the audit log, and transforms the files.
func (f *runFlags) run(cmd *cobra.Command, g *globals, files []string) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	if f.manifestToCheck != "" {
		report, err := bulk.Check(ctx, f.manifestToCheck)
		for _, line := range report {
			fmt.Fprintln(cmd.OutOrStdout(), line)
		}
		return err
	}
	if err := f.validate(files); err != nil {
		return err
	}
	if f.server != "" {
		if err := f.addRemoteColumns(cmd.InOrStdin()); err != nil {
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
	grants, err := f.addLocalColumns(ctx, cmd.InOrStdin(), verifier)
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
	// Without a handler SIGPIPE would end the process before the run is recorded as failed.
	brokenPipe := make(chan os.Signal, 1)
	signal.Notify(brokenPipe, syscall.SIGPIPE)
	defer signal.Stop(brokenPipe)
	id := token.NewID()
	if err := recordBegun(log, id, grants); err != nil {
		return errors.Join(err, closeLog())
	}
	return errors.Join(f.report(stderr, cmd, func(sum bulk.Summary, err error) error {
		return record(log, id, grants, sum, outcome(err))
	}), closeLog())
}

// addRemoteColumns adds the columns to the job, each with the server and its token.
// Columns with the same token share a [bulk.Remote].
func (f *runFlags) addRemoteColumns(stdin io.Reader) error {
	servers := map[string]*bulk.Remote{}
	for _, column := range f.columns {
		name, number, file, hasToken := parseColumn(column)
		if !hasToken {
			file = f.tokenFile
		}
		if servers[file] == nil {
			raw, err := readToken(file, stdin)
			if err != nil && hasToken {
				return columnTokenError(name, err)
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

// addLocalColumns adds the columns to the job, each with the plan of its token, or of the
// run's token or project. It returns the grants, for the caller to release on error too.
func (f *runFlags) addLocalColumns(ctx context.Context, stdin io.Reader, v *token.Verifier) (list []*token.Grant, err error) {
	verify := func(file string) (*token.Grant, error) {
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
	var runGrant *token.Grant // of the columns without a token of their own
	for _, column := range f.columns {
		name, number, file, hasToken := parseColumn(column)
		grant := runGrant
		switch {
		case hasToken:
			if grant, err = verify(file); err != nil {
				return list, columnTokenError(name, err)
			}
		case runGrant == nil && f.local.Project != "":
			if runGrant, err = v.Local(ctx, f.local); err != nil {
				claims := f.localClaims()
				return list, f.localError(namedDomain(err, &claims))
			}
			list = append(list, runGrant)
			grant = runGrant
		case runGrant == nil:
			if runGrant, err = verify(f.tokenFile); err != nil {
				return list, err
			}
			grant = runGrant
		}
		f.job.Columns = append(f.job.Columns, bulk.Column{
			Name: name, Number: number, Plan: grant.Plan, Spend: spender(grant), Describe: describeGrant(grant)})
		f.job.Fingerprint += grantIdentity(grant) + "\n"
	}
	return list, nil
}

// localClaims returns the request of --project and its companion flags as claims.
func (f *runFlags) localClaims() token.PSN {
	l := &f.local
	psn := token.PSN{Op: cmp.Or(l.Op, spec.Pseudonymise), Dom: token.Domain{Prj: l.Project, Org: l.Org}, Gen: l.Gen}
	if l.Source != "" {
		psn.Src = &token.Domain{Prj: l.Source, Org: l.SourceOrg}
	}
	return psn
}

// localError describes why --project was refused: because of the project's state, or
// because the flags do not fit the project's policy.
func (f *runFlags) localError(err error) error {
	var refused *token.Error
	if errors.As(err, &refused) || errors.Is(err, token.ErrUnavailable) || errors.Is(err, context.Canceled) {
		return refusal(err)
	}
	if f.local.Form != "" {
		return usagef("run: --form %s does not go with the project's method, policy and tag", f.local.Form)
	}
	return flagError("project", err)
}

// refusal prefixes the text of a refused token's error with its code.
func refusal(err error) error {
	var refused *token.Error
	if errors.As(err, &refused) {
		return refusedError{refused}
	}
	return err
}

// refusedError is the error of a refused token, with the code in its text.
type refusedError struct{ err *token.Error }

func (e refusedError) Error() string { return e.err.Code + ": " + e.err.Detail }
func (e refusedError) Unwrap() error { return e.err }

// spender returns a function that spends the grant's budget before values are
// transformed. It waits while the rate limit is exceeded, and fails within a second of a
// revocation of the token or the end of the project. The limit for a single request
// only bounds how much is spent at a time, because a run is not a request.
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

// describeGrant returns the manifest's entries for a column.
func describeGrant(g *token.Grant) map[string]string {
	p := &g.Claims.PSN
	d := map[string]string{"op": string(p.Op), "project": p.Dom.Prj, "method": string(p.Method), "policy": string(p.Policy), "form": string(p.Fmt), "suite": "a256-1"}
	if !strings.HasPrefix(g.Claims.ID, "local:") { // the id of a local grant is random
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

// grantIdentity returns a text that must be equal for an interrupted run to resume. It
// covers domain, operation and form of the pseudonyms, and not the token's id, so that a
// run whose token expired can resume with a new one.
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

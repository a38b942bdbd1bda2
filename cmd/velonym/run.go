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
				asked := f.asked()
				return list, f.localError(namedDomain(err, &asked))
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

// asked is what --project and the flags beside it ask for, as a token would say it.
func (f *runFlags) asked() token.PSN {
	l := &f.local
	psn := token.PSN{Op: cmp.Or(l.Op, spec.Pseudonymise), Dom: token.Domain{Prj: l.Project, Org: l.Org}, Gen: l.Gen}
	if l.Source != "" {
		psn.Src = &token.Domain{Prj: l.Source, Org: l.SourceOrg}
	}
	return psn
}

// localError words why --project was refused: by its state, or because the flags
// ask for what does not go with it.
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
	d := map[string]string{"op": string(p.Op), "project": p.Dom.Prj, "method": string(p.Method), "policy": string(p.Policy), "form": string(p.Fmt), "suite": "a256-1"}
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

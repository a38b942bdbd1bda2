package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/audit/timestamp"
	"github.com/velonym/velonym/engine/audit/witness"
	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/server"
)

// serveFlags are the flags of `velonym serve`.
type serveFlags struct {
	trust    verifierFlags
	cfg      server.Config
	listen   string
	admin    string
	cert     string
	key      string
	clientCA string
	audit    string
	auditMax int64
	logFile  string
	drain    time.Duration
	held     int        // number of projects whose keys the last sweep kept back
	log      *audit.Log // nil: nothing is recorded
	backup   backupFlags
	headsTo  []string
	tsa      string
	tsaEvery time.Duration
}

func newServe(g *globals) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "The two documented endpoints over HTTP",
		Long: `Serves POST /api/request-psn and POST /api/request-psn-rev in JSON and CSV, and
/healthz, /readyz and /openapi.json.

On SIGTERM or SIGINT it reports not ready, answers the requests in flight and stops.
On SIGHUP it reads certificate and issuer keys (files and URLs) again and reopens log
and audit files.

It needs at most 9/8 × --max-in-flight-bytes + 48 KiB × --max-connections + 96 MiB of
resident memory, and sets the garbage collector's limit accordingly unless GOMEMLIMIT
is set.

Send a file with curl --data-binary @FILE: --data @FILE removes the line ends and joins
all values into one.`,
		Example: `  velonym serve
  velonym serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem --admin-listen 127.0.0.1:9090
  velonym serve --jwks https://login.example=https://login.example/keys --audience register`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.serve(cmd.Context(), g, cmd.ErrOrStderr()) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.listen, "listen", "127.0.0.1:8080", "HOST:PORT, unix:PATH, or systemd[:NAME] for an activated socket")
	fl.StringVar(&f.admin, "admin-listen", "", "second listener, for /metrics and the like; without it /metrics is on the first")
	fl.StringVar(&f.cert, "tls-cert", "", "certificate chain (PEM); reloaded when it changes")
	fl.StringVar(&f.key, "tls-key", "", "private key of the certificate (PEM)")
	fl.StringVar(&f.clientCA, "client-ca", "", "require client certificates signed by these authorities (PEM)")
	f.trust.add(fl)
	fl.DurationVar(&f.trust.keystoreTimeout, "keystore-timeout", 1500*time.Millisecond, "how long a request waits for the keystore before the answer 503")
	sizeVar(fl, &f.cfg.MaxBody, "max-body", 256<<20, "largest body, after decompression")
	sizeVar(fl, &f.cfg.MaxInFlight, "max-in-flight-bytes", 2<<30, "memory for all requests in flight; requests beyond it get 503")
	fl.IntVar(&f.cfg.MaxConns, "max-connections", 4096, "open connections")
	fl.IntVar(&f.cfg.Workers, "workers", 0, "cores that share one large request (default: all)")
	fl.DurationVar(&f.cfg.HeaderTimeout, "header-timeout", 10*time.Second, "time for a request's header")
	fl.DurationVar(&f.cfg.IdleTimeout, "idle-timeout", 2*time.Minute, "how long a connection without a request stays open")
	fl.DurationVar(&f.cfg.StallTimeout, "stall-timeout", 30*time.Second, "longest pause within a body, or while a client reads an answer")
	sizeVar(fl, &f.cfg.MinRate, "min-rate", 16<<10, "lowest mean rate of a body, and of reading an answer, per second")
	fl.DurationVar(&f.cfg.DrainDelay, "drain-delay", time.Second, "between the end of readiness and the end of listening")
	fl.DurationVar(&f.drain, "drain-timeout", 30*time.Second, "longest wait for requests in flight when stopping")
	fl.StringArrayVar(&f.cfg.CORS, "cors", nil, "origin that browsers may call from (repeatable; default: none)")
	fl.BoolVar(&f.cfg.Pprof, "pprof", false, "profiles on the admin listener")
	fl.StringVar(&f.audit, "audit", "", "audit file (default DIR/audit.jsonl; none: no record)")
	sizeVar(fl, &f.auditMax, "audit-max-size", 256<<20, "rotate the audit file at this size; 0: never")
	fl.StringArrayVar(&f.headsTo, "audit-heads-to", nil, "send signed heads of the audit log to a `PLACE`: syslog:, syslog://HOST, syslog+tcp://HOST or https://… (repeatable)")
	checkedVar(fl, &f.tsa, "audit-tsa", "", "URL", "time-stamping authority (RFC 3161) that stamps signed heads of the audit log", func(s string) error { _, err := timestamp.NewAuthority(s); return err })
	fl.DurationVar(&f.tsaEvery, "audit-tsa-every", 10*time.Minute, "stamp the newest head no more often than this, and once more at the end")
	fl.BoolVar(&f.cfg.AuditContinue, "audit-continue", false, "keep answering if audit records cannot be written")
	fl.StringVar(&f.backup.dir, "backup-dir", "", "make backups of the keystore in this folder (default: none)")
	fl.DurationVar(&f.backup.every, "backup-every", 24*time.Hour, "time between backups")
	limitVar(fl, &f.backup.keep, "backup-keep", "number of newest backups to keep in that folder (default: all)")
	fl.StringArrayVar(&f.backup.recipients, "backup-recipient", nil, "age `RECIPIENT` to seal backups to (repeatable; default: not sealed)")
	fl.StringVar(&f.logFile, "log", "", "log file, reopened on SIGHUP (default: standard error)")
	fl.BoolVar(&f.cfg.AccessLog, "access-log", false, "log every request, not only refused ones")
	return cmd
}

// closers holds functions that close resources; close calls the last added first.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c closers) close() error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		errs = append(errs, c[i]())
	}
	return errors.Join(errs...)
}

// serve executes the verb until the context ends or a listener fails.
func (f *serveFlags) serve(ctx context.Context, g *globals, stderr io.Writer) (err error) {
	if (f.cert == "") != (f.key == "") {
		return usagef("serve: --tls-cert and --tls-key go together")
	}
	if f.clientCA != "" && f.cert == "" {
		return usagef("serve: --client-ca needs --tls-cert and --tls-key")
	}
	if f.cfg.Pprof && f.admin == "" {
		return usagef("serve: --pprof needs --admin-listen")
	}
	if err := f.backup.check(); err != nil {
		return err
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	s, err := f.assemble(ctx, g, stderr, &open)
	if err != nil {
		return err
	}
	ln, err := server.Listen(f.listen)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	var running sync.WaitGroup
	running.Add(1)
	go func() {
		defer running.Done()
		failed <- s.Serve(ln)
	}()
	if f.admin != "" {
		admin, err := server.Listen(f.admin)
		if err != nil {
			return errors.Join(err, s.Shutdown(ctx))
		}
		hs := &http.Server{Handler: s.Admin(), ReadHeaderTimeout: 10 * time.Second}
		open.add(hs.Close)
		go func() {
			if err := hs.Serve(admin); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		}()
	}
	f.cfg.Log.Info("serving", "url", f.url(ln), "kernel", simd.Kernel())
	if err := server.Notify("READY=1"); err != nil {
		f.cfg.Log.Warn("systemd was not told", "error", err.Error())
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-hup:
			_ = s.Reload() // logs failures; what failed to load stays as it was
		case err := <-failed:
			return errors.Join(err, s.Shutdown(ctx))
		case <-ctx.Done():
			if err := server.Notify("STOPPING=1"); err != nil {
				f.cfg.Log.Warn("systemd was not told", "error", err.Error())
			}
			end, cancel := context.WithTimeout(context.Background(), f.cfg.DrainDelay+f.drain)
			defer cancel()
			err := s.Shutdown(end)
			running.Wait()
			return err
		}
	}
}

// url returns the server's address for the log.
func (f *serveFlags) url(ln net.Listener) string {
	if ln.Addr().Network() == "unix" {
		return "unix:" + ln.Addr().String()
	}
	scheme := "http"
	if f.cert != "" {
		scheme = "https"
	}
	return scheme + "://" + ln.Addr().String()
}

// assemble opens what the server needs, adds it to open, and returns the server.
func (f *serveFlags) assemble(ctx context.Context, g *globals, stderr io.Writer, open *closers) (*server.Server, error) {
	logTo := stderr
	if f.logFile != "" {
		file, err := openLogFile(f.logFile)
		if err != nil {
			return nil, err
		}
		open.add(file.Close)
		logTo = file
		f.cfg.OnReload = append(f.cfg.OnReload, server.ReloadHook{Name: "log file", Func: file.Reopen})
	}
	f.cfg.Log = slog.New(slog.NewJSONHandler(logTo, nil))
	slog.SetDefault(f.cfg.Log) // for libraries that write to package log
	f.trust.log = f.cfg.Log

	g.warn = func(text string) { f.cfg.Log.Warn(text) }
	ks, err := g.openKeystore(ctx)
	if err != nil {
		return nil, err
	}
	open.add(ks.Close)
	if refused := secmem.Status().LockErr; refused != nil {
		f.cfg.Log.Warn("memory for keys is not locked", "error", refused.Error(), "remedy", lockRemedy)
	}
	verifier, err := newVerifier(ctx, ks, f.trust)
	if err != nil {
		return nil, err
	}
	open.add(func() error { verifier.Close(); return nil })
	f.cfg.OnReload = append(f.cfg.OnReload, server.ReloadHook{Name: "issuer keys", Func: verifier.Reload})
	f.cfg.Verifier, f.cfg.Keystore = verifier, ks
	if own, ok := verifier.OwnIssuer(); ok {
		f.cfg.Log.Info("keys", "master_key", ks.MasterKeyFingerprint(), "issuer", own.Name, "issuer_key", token.KeyID(own.Public))
	}

	if err := f.openAudit(ctx, g, ks, open); err != nil {
		return nil, err
	}
	if f.cert != "" {
		if f.cfg.TLS, err = server.LoadTLS(f.cert, f.key, f.clientCA); err != nil {
			return nil, err
		}
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(f.cfg.MemoryLimit())
	}
	f.cfg.Log.Info("memory", "at_most_bytes", f.cfg.MemoryBound(), "collector_limit_bytes", debug.SetMemoryLimit(-1))
	f.cfg.Metrics = f.admin == ""
	f.cfg.Version, f.cfg.Commit = buildVersion()
	f.cfg.Kernel = simd.Kernel()

	f.startSweeps(ctx, ks, open)
	stopBackups, err := f.startBackups(ctx, g, ks)
	if err != nil {
		return nil, err
	}
	open.add(stopBackups)
	return server.New(f.cfg)
}

// openAudit opens the audit log and gives it to the server, unless --audit is none.
func (f *serveFlags) openAudit(ctx context.Context, g *globals, ks *keys.Keystore, open *closers) error {
	if f.audit == "none" {
		if f.tsa != "" {
			return usagef("serve: --audit-tsa stamps heads of the audit log, and --audit none keeps none: leave one away")
		}
		return nil
	}
	path := f.audit
	if path == "" {
		var err error
		if path, err = g.inFolder("audit.jsonl"); err != nil {
			return err
		}
	}
	witnesses, err := f.witnesses(path)
	if err != nil {
		return err
	}
	onHead, err := f.stampHeads(path, witnesses, open)
	if err != nil {
		return err
	}
	log, closeLog, err := openAuditAt(ctx, ks, path, audit.Options{MaxSize: f.auditMax, Delay: 50 * time.Millisecond, OnHead: onHead,
		HeadFailed: func(err error) { f.cfg.Log.Error("a signed head of the audit log was not kept", "error", err.Error()) }})
	if err != nil {
		return err
	}
	open.add(closeLog)
	f.log = log
	f.cfg.Audit = log
	f.cfg.OnReload = append(f.cfg.OnReload, server.ReloadHook{Name: "audit file", Func: log.Reopen})
	return nil
}

// startSweeps sweeps the keystore every minute until open is closed.
func (f *serveFlags) startSweeps(ctx context.Context, ks *keys.Keystore, open *closers) {
	f.cfg.Sweeps = &server.Sweeps{}
	sweep, stop := context.WithCancel(context.WithoutCancel(ctx))
	var swept sync.WaitGroup
	swept.Add(1)
	go func() {
		defer swept.Done()
		ks.Sweeper(sweep, time.Minute, func(swept keys.Swept, err error) {
			f.cfg.Sweeps.Report(swept, err)
			f.logSwept(swept, err)
		})
	}()
	open.add(func() error { stop(); swept.Wait(); return nil })
}

// witnesses returns a function that sends heads of the log at path to --audit-heads-to.
func (f *serveFlags) witnesses(path string) (func(audit.Head) error, error) {
	name, err := logName(path)
	if err != nil {
		return nil, err
	}
	var all []func(audit.Head) error
	for _, place := range f.headsTo {
		w, err := witness.New(place, name)
		if err != nil {
			return nil, usagef("--audit-heads-to: %w", err)
		}
		all = append(all, w)
	}
	return func(h audit.Head) error {
		var errs []error
		for _, w := range all {
			errs = append(errs, w(h))
		}
		return errors.Join(errs...)
	}, nil
}

// stampHeads adds the time-stamping authority, if there is one, to what is called with the
// heads of the log at path. open closes it after the log.
func (f *serveFlags) stampHeads(path string, next func(audit.Head) error, open *closers) (func(audit.Head) error, error) {
	if f.tsa == "" {
		return next, nil
	}
	if f.tsaEvery < time.Second {
		return nil, usagef("--audit-tsa-every: a second is the least")
	}
	tsa, err := timestamp.NewAuthority(f.tsa)
	if err != nil {
		return nil, usagef("--audit-tsa: %w", err)
	}
	s := timestamp.NewStamper(tsa, path, f.tsaEvery, f.cfg.Log)
	open.add(s.Close)
	f.cfg.TimeStamps = func() (stamped, failed uint64, last time.Time) {
		st := s.Stats()
		return st.Stamped, st.Failed, st.Last
	}
	return func(h audit.Head) error {
		s.Offer(h)
		return next(h)
	}, nil
}

// logSwept logs and records what a sweep did. Every sweep reports the projects whose keys
// it keeps back; logSwept logs them only when their number changes.
func (f *serveFlags) logSwept(swept keys.Swept, err error) {
	for _, name := range swept.Ended {
		f.cfg.Log.Warn("project ended: nothing uses its keys any more", "project", name)
	}
	for _, name := range swept.Resumed {
		f.cfg.Log.Warn("project has not ended after all, by a clock that was set back", "project", name)
	}
	for _, r := range swept.Destroyed {
		f.cfg.Log.Info("retention over: keys destroyed", "project", r.Project)
	}
	for _, name := range swept.Rotated {
		f.cfg.Log.Info("a generation had reached its age: a new one is active", "project", name)
	}
	for _, name := range swept.Spent {
		f.cfg.Log.Error("a generation has reached its age, and the project has had all that it can have", "project", name,
			"remedy", "make a successor project, and bring the pseudonyms over with secondary tokens")
	}
	if n := len(swept.Held); n > 0 && n != f.held {
		f.cfg.Log.Error("keys of ended projects are kept: the keystore's clock jumped",
			"projects", n, "first", swept.Held[0], "remedy", "say 'velonym key clock --accept' if the clock is right")
	}
	f.held = len(swept.Held)
	if f.log != nil {
		if e := recordSwept(f.log, swept); e != nil {
			f.cfg.Log.Error("what a sweep did was not recorded", "error", e.Error())
		}
	}
	if err != nil {
		f.cfg.Log.Error("sweep of ended retentions failed", "error", err.Error())
	}
}

// logFile is a log file that can be rotated: Reopen opens its name again. It is safe for
// concurrent use.
type logFile struct {
	path string
	mu   sync.Mutex
	f    *os.File
}

func openLogFile(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.Reopen()
}

// Reopen opens the file's name again, after log rotation has renamed the file.
func (l *logFile) Reopen() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.f
	l.f = f
	if old != nil {
		return old.Close()
	}
	return nil
}

func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Write(b)
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}

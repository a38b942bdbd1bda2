package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"github.com/velonym/velonym/engine/keys"
)

// Server serves the HTTP contract on its listeners and reports whether it is ready. New
// makes one. It is safe for concurrent use.
type Server struct {
	cfg     Config
	log     *limitedLog
	http    *fasthttp.Server
	mem     *memory
	metrics *metricSet
	paths   requestPaths
	calls   sync.Pool
	ids     requestIDs
	pages   map[string]func() (status int, mime string, body []byte)

	// base is the context of calls to other packages. It outlives the start of a
	// shutdown, so that requests in flight are answered.
	base context.Context
	stop context.CancelFunc
	bg   sync.WaitGroup

	deadlineTolerance time.Duration // how late a deadline may take effect
	readYield         readYield
	remembering       rememberingVerifier // the verifier, if it is one
	conns             atomic.Int64
	refusing          atomic.Int64
	lingering         connSet
	draining          atomic.Bool
	closing           sync.Mutex // held by the one Shutdown that does the work
	closed            bool
	lnMu              sync.Mutex
	listeners         []net.Listener
	keysFault         atomic.Pointer[string]
	auditFault        atomic.Pointer[string]
	probing           sync.Mutex    // held during a probe of the keystore, so that results are stored in order
	counting          sync.Mutex    // the same of what counts projects
	probeSoon         atomic.Bool   // a record was written while auditFault is set
	keysChange        atomic.Uint64 // the keystore's change counter, as of the last look
	outlook           atomic.Pointer[keys.Outlook]

	zstdOnce sync.Once
	zstd     *zstd.Encoder
}

// New makes a server and starts to probe the keystore and the audit log. It does not
// listen before Serve.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: newLimitedLog(cfg.Log), mem: newMemory(cfg.MaxInFlight),
		deadlineTolerance: min(cfg.HeaderTimeout, cfg.IdleTimeout, cfg.StallTimeout) / 8}
	if _, err := io.ReadFull(rand.Reader, s.ids.prefix[:]); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s.remembering, _ = cfg.Verifier.(rememberingVerifier)
	s.calls.New = func() any { return new(call) }
	s.metrics = newMetricSet(s)
	s.base, s.stop = context.WithCancel(context.Background())
	s.pages = s.allPages()
	s.http = &fasthttp.Server{
		Handler:            s.handle,
		ExpectHandler:      s.expect,
		ErrorHandler:       s.answerUnreadable,
		StreamRequestBody:  true,
		MaxRequestBodySize: maxMaxBody + 1, // ours is checked in readBody
		ReadBufferSize:     readBuffer,
		WriteBufferSize:    writeBuffer,
		// cappedListener enforces MaxConns; this limit must never be reached.
		Concurrency:                  cfg.MaxConns + maxRefusing,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		LazyRequestTime:              true,
		CloseOnShutdown:              true,
		DisablePreParseMultipartForm: true,
		SecureErrorLogMessage:        true,
		Logger:                       log.New(io.Discard, "", 0), // its messages may hold parts of a request
		ConnState: func(_ net.Conn, state fasthttp.ConnState) {
			if state == fasthttp.StateClosed || state == fasthttp.StateHijacked {
				s.conns.Add(-1)
			}
		},
	}
	if cfg.TLS != nil {
		// Through TLS a connection cannot see where in a request it is: see conn.
		s.http.ReadTimeout, s.http.IdleTimeout, s.http.WriteTimeout = cfg.HeaderTimeout, cfg.IdleTimeout, cfg.StallTimeout
	}
	s.probe(s.base)
	s.bg.Go(s.probeLoop)
	if _, ok := s.cfg.Keystore.(outlookSource); ok {
		s.bg.Go(s.outlookLoop)
	}
	return s, nil
}

// freeThreshold is how many bytes of dropped buffers are worth a collection.
const freeThreshold = 1 << 20

// probeInterval is how often the state behind readiness is probed.
const probeInterval = time.Second

// probeLoop keeps readiness and the idle memory up to date.
func (s *Server) probeLoop() {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	var collected uint32
	var probe backoff
	for n := 1; ; n++ {
		select {
		case <-s.base.Done():
			return
		case <-tick.C:
		}
		s.probeKeystore(s.base)
		if s.probeSoon.Swap(false) || probe.due() {
			probe.reset(s.probeAudit() != nil)
		}
		if n%30 == 0 {
			collected = s.trimMemory(collected)
		}
	}
}

// trimMemory drops idle buffers. collected is the number of collections that the last call
// returned. The server makes so little garbage that no collection may run for minutes, and
// its memory looks like a leak; so trimMemory runs one if there was none since the last
// call, and returns the memory of a burst to the system.
func (s *Server) trimMemory(collected uint32) uint32 {
	dropped := s.mem.trim()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	switch {
	case dropped >= freeThreshold:
		debug.FreeOSMemory()
	case m.NumGC == collected:
		runtime.GC()
	default:
		return m.NumGC
	}
	return m.NumGC + 1
}

// probe checks that the keystore and the audit log work.
func (s *Server) probe(ctx context.Context) {
	s.probeKeystore(ctx)
	_ = s.probeAudit() // a failure is logged and shown by readiness
}

func (s *Server) probeKeystore(ctx context.Context) {
	if s.cfg.Keystore == nil {
		return
	}
	s.probing.Lock()
	defer s.probing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	n, err := s.cfg.Keystore.Change(ctx)
	cancel()
	if err == nil {
		s.keysChange.Store(n)
	}
	if ctx.Err() == nil || err == nil || !errors.Is(err, context.Canceled) {
		what := "the keystore cannot be read"
		switch {
		case errors.Is(err, keys.ErrClock):
			what = clockRefused
		case errors.Is(err, keys.ErrWrongMasterKey):
			what = masterKeyChanged
		}
		s.fault(&s.keysFault, what, err)
	}
}

func (s *Server) probeAudit() error {
	if s.cfg.Audit == nil {
		return nil
	}
	err := s.cfg.Audit.Check()
	s.fault(&s.auditFault, auditFault, err)
	return err
}

// keysTimeout is how long a keystore may take to answer before the server is not ready.
const keysTimeout = 1500 * time.Millisecond

// clockRefused is the text of a machine's clock that the keystore refuses.
const clockRefused = "KEYSTORE_CLOCK: this machine's clock disagrees with the keystore's; see 'velonym key clock'"

// masterKeyChanged is the text of a keystore whose master key is not the server's.
const masterKeyChanged = "KEYSTORE_MASTER_KEY: the keystore has another master key now ('velonym key rewrap'): put it where this server reads its own, or start it with the new one"

// fault stores and logs a change of a condition of readiness.
func (s *Server) fault(at *atomic.Pointer[string], what string, err error) {
	if err == nil {
		if at.Swap(nil) != nil {
			s.cfg.Log.Info("recovered", "was", what)
		}
		return
	}
	if at.Swap(&what) == nil {
		s.cfg.Log.Error(what, "error", err.Error())
	}
}

// Ready returns nil if the server should get requests, and otherwise why it should not.
func (s *Server) Ready() error {
	if s.draining.Load() {
		return errors.New("server: shutting down")
	}
	if f := s.keysFault.Load(); f != nil {
		return errors.New("server: " + *f)
	}
	if s.auditDown() {
		return errors.New("server: " + auditFault)
	}
	return nil
}

// Serve serves the connections of ln until Shutdown, and then returns nil. It may be
// called for several listeners.
func (s *Server) Serve(ln net.Listener) error {
	if s.draining.Load() {
		ln.Close()
		return nil
	}
	s.lnMu.Lock()
	s.listeners = append(s.listeners, ln)
	s.lnMu.Unlock()
	var use net.Listener = &cappedListener{Listener: ln, s: s, secure: s.cfg.TLS != nil}
	if s.cfg.TLS != nil {
		use = s.cfg.TLS.listener(use, s.cfg.Log)
	}
	s.cfg.Log.Info("listening", "network", ln.Addr().Network(), "address", ln.Addr().String(), "tls", s.cfg.TLS != nil)
	err := s.http.Serve(use)
	if s.draining.Load() {
		return nil
	}
	return err
}

// Shutdown ends the server without losing an answer, and logs each step: the server stops
// being ready and every answer closes its connection; after DrainDelay the listeners
// close; requests in flight are answered and idle connections closed. If ctx ends before
// that, the remaining connections are cut off and its error is returned. Later calls wait
// for the first and return nil.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.cfg.Log.Info("shutdown: not ready any more", "listening_for", max(0, s.cfg.DrainDelay).String())
	if s.cfg.DrainDelay > 0 {
		t := time.NewTimer(s.cfg.DrainDelay)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
	s.cfg.Log.Info("shutdown: closing the listeners, finishing requests", "connections", s.conns.Load(), "bytes_in_flight", s.mem.used.Load())
	s.drainBacklog(ctx)
	s.lingering.hurry()
	err := s.http.ShutdownWithContext(ctx)
	s.stop()
	s.bg.Wait()
	if err != nil {
		s.cfg.Log.Error("shutdown: gave up on requests in flight", "connections", s.conns.Load())
		return fmt.Errorf("server: shutdown: %d connections cut off: %w", s.conns.Load(), err)
	}
	s.cfg.Log.Info("shutdown: every request is answered")
	return nil
}

// backlogGrace is how long connections whose handshake is under way are still accepted.
const backlogGrace = 200 * time.Millisecond

// drainBacklog accepts the connections that wait in the listeners' queues and keeps new
// ones out, where the system has a way to. Closing a listener would reset the waiting
// connections, even if requests were already sent on them.
func (s *Server) drainBacklog(ctx context.Context) {
	s.lnMu.Lock()
	defer s.lnMu.Unlock()
	some := false
	for _, ln := range s.listeners {
		some = blockNewConns(ln) || some
	}
	if !some {
		return
	}
	t := time.NewTimer(backlogGrace)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Reload reads the certificate again and calls the hooks of OnReload. It tries all of
// them; what fails stays as it was.
func (s *Server) Reload() error {
	var errs []error
	hooks := s.cfg.OnReload
	if s.cfg.TLS != nil {
		hooks = append([]ReloadHook{{"certificate", s.cfg.TLS.Reload}}, hooks...)
	}
	for _, h := range hooks {
		err := h.Func()
		logReload(s.cfg.Log, h.Name, err)
		if err != nil {
			errs = append(errs, fmt.Errorf("server: reload of %s: %w", h.Name, err))
		}
	}
	return errors.Join(errs...)
}

// logReload logs the result of reading what again.
func logReload(log *slog.Logger, what string, err error) {
	if err != nil {
		log.Error("reload: failed, and the old one stays in use", "what", what, "error", err.Error())
		return
	}
	log.Info("reload: done", "what", what)
}

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

func asError[T error](err error, target *T) bool { return errors.As(err, target) }

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

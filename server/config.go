package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"time"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/token"
)

// Verifier returns what a token allows; *token.Verifier is one.
type Verifier interface {
	Verify(ctx context.Context, raw []byte, ops token.Ops) (*token.Grant, error)
}

// rememberingVerifier is a Verifier that recognises the last token of a connection
// without hashing it again.
type rememberingVerifier interface {
	VerifyAgain(ctx context.Context, raw []byte, ops token.Ops, last *token.LastToken) (*token.Grant, error)
}

// Keystore reports whether keys can be read; *keys.Keystore is one.
type Keystore interface {
	Change(ctx context.Context) (uint64, error)
}

// Audit takes the audit records; *audit.Log is one. Give it a delay (audit.Options) so
// that forward calls do not each wait for a write. Every call of the endpoints for tokens
// is recorded, whether or not its token verifies; the record of a call that reverses or is
// refused has Sync set and is on disk before the answer is sent. Other paths, requests
// that are not HTTP, and connections over MaxConns, which are not read, are not recorded.
// Append must not keep the record: its Request lies in a buffer that is reused.
type Audit interface {
	Append(r audit.Record) error
	Check() error // nil when records can be written; tries again after a failure
}

// Config configures a Server. Verifier is required; the zero value of every other field
// is a safe default.
type Config struct {
	Verifier Verifier
	Keystore Keystore // probed once a second for readiness; nil: not probed
	Audit    Audit    // nil: nothing is recorded
	Sweeps   *Sweeps  // results of the keystore's sweeps, for the metrics; nil: not known

	// TimeStamps returns how many heads of the audit log were time-stamped, how many
	// attempts failed, and the time of the last stamp, for the metrics; nil: there is no
	// time-stamping authority.
	TimeStamps func() (stamped, failed uint64, last time.Time)

	// AuditContinue keeps answering when a record cannot be written (a full disk).
	// Without it every such request, refused ones included, is answered with 503
	// UNAVAILABLE, and the server is not ready until a record can be written again.
	AuditContinue bool

	// MaxBody is the largest body in bytes, after decompression; 0: 256 MiB. It
	// is at most 1 GiB.
	MaxBody int64
	// MaxInFlight bounds the memory of requests in bytes: their bodies, the spans of
	// their values, their answers until they are written, and buffers kept for reuse.
	// Requests beyond it are refused with 503 OVERLOADED; one that an idle server could
	// not serve either is refused with 413. 0: 2 GiB. MemoryBound returns what the whole
	// process needs.
	MaxInFlight int64
	// MaxConns is the number of open connections; 0: 4096. More are answered
	// with 503 OVERLOADED and closed.
	MaxConns int
	// Workers is the number of goroutines that share the values of one large
	// request; 0: one a core.
	Workers int

	// HeaderTimeout is how long a request's header may take, from its first byte or from
	// the connection's start; 0: 10 s.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection may be kept without a request; 0: 2 min.
	IdleTimeout time.Duration
	// StallTimeout is how long a body, or the reading of an answer, may pause; 0: 30 s.
	StallTimeout time.Duration
	// MinRate is the least mean rate at which the client must send a body and read an
	// answer, in bytes a second, counted after StallTimeout; 0: 16 KiB/s.
	MinRate int64
	// LingerTimeout is how long the rest of a refused body is read and dropped after the
	// answer, so that the client receives the answer and not a reset; 0: 5 s.
	LingerTimeout time.Duration
	// MaxDrain is the most bytes of it that are read; 0: 1 GiB.
	MaxDrain int64

	// DrainDelay is how long a server that shuts down goes on listening after it has
	// stopped being ready, so that load balancers notice and busy clients are asked to
	// close; 0: 1 s, negative: none.
	DrainDelay time.Duration

	// TLS serves HTTPS; nil: plain HTTP. See [LoadTLS].
	TLS *TLS

	// CORS lists the origins that browsers may call from; "*" is any origin. nil: none,
	// and no CORS header is sent.
	CORS []string

	// Metrics serves /metrics on the data listener too. Set it only if there is no admin
	// listener.
	Metrics bool
	// Pprof adds /debug/pprof to the admin handler.
	Pprof bool
	// Version, Commit and Kernel are the labels of the metric velonym_build_info.
	Version, Commit, Kernel string

	// AccessLog logs every request, not only refused ones.
	AccessLog bool
	// Log takes the server's log; nil: nothing is logged. No value, token or
	// key is ever logged.
	Log *slog.Logger

	// NoReadYield makes connections read without yielding to other goroutines first. It
	// is for the benchmark that compares the two.
	NoReadYield bool

	// OnReload is what [Server.Reload] calls, and logs by name: the reopening of log and
	// audit files, issuer keys.
	OnReload []ReloadHook
}

// MemoryBound returns the most resident memory that a server of this Config needs under
// any load, in bytes: 9/8 × MaxInFlight + 48 KiB × MaxConns + 96 MiB. It holds for a
// process that sets MemoryLimit and does little else.
func (c Config) MemoryBound() int64 {
	inFlight := cmp.Or(c.MaxInFlight, defaultInFlight)
	return inFlight + inFlight/8 + connMemory*int64(cmp.Or(c.MaxConns, defaultConns)) + baseMemory
}

// MemoryLimit returns the value for debug.SetMemoryLimit that makes the runtime collect
// garbage before the process exceeds MemoryBound. It leaves out the program itself, which
// that limit does not count.
func (c Config) MemoryLimit() int64 { return c.MemoryBound() - programMemory }

const (
	defaultInFlight = 2 << 30
	defaultConns    = 4096
)

// The parts of MemoryBound besides MaxInFlight.
const (
	connMemory    = 48 << 10 // of a connection: its buffers, its stack, the call
	baseMemory    = 96 << 20 // everything that does not depend on the load
	programMemory = 40 << 20 // the part of baseMemory outside the runtime: the program's file, locked keys
)

// ReloadHook is something that SIGHUP makes the server read again.
type ReloadHook struct {
	Name string
	Func func() error
}

// maxMaxBody keeps the offsets in a body well within 32 bits.
const maxMaxBody = 1 << 30

// readBuffer is the read buffer of a connection, which bounds the header: a
// token has up to 8 KiB.
const readBuffer = 16 << 10

// writeBuffer is the write buffer of a connection: answers up to its size leave in one
// system call.
const writeBuffer = 8 << 10

func (c Config) withDefaults() (Config, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if c.Verifier == nil {
		return c, errors.New("server: a verifier is needed")
	}
	if c.MaxBody == 0 {
		c.MaxBody = 256 << 20
	}
	if c.MaxBody < 1 || c.MaxBody > maxMaxBody {
		return c, errors.New("server: the largest body must be between 1 byte and 1 GiB")
	}
	c.MaxInFlight = cmp.Or(c.MaxInFlight, defaultInFlight)
	if c.MaxInFlight < 1<<20 {
		return c, errors.New("server: less than 1 MiB in flight serves nobody")
	}
	c.MaxConns = cmp.Or(c.MaxConns, defaultConns)
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.MinRate == 0 {
		c.MinRate = 16 << 10
	}
	if c.MaxDrain == 0 {
		c.MaxDrain = 1 << 30
	}
	if c.MaxConns < 1 || c.Workers < 1 || c.MinRate < 1 {
		return c, errors.New("server: connections, workers and the least rate must be positive")
	}
	def(&c.HeaderTimeout, 10*time.Second)
	def(&c.IdleTimeout, 2*time.Minute)
	def(&c.StallTimeout, 30*time.Second)
	def(&c.LingerTimeout, 5*time.Second)
	def(&c.DrainDelay, time.Second)
	if c.HeaderTimeout < 0 || c.IdleTimeout < 0 || c.StallTimeout < 0 || c.LingerTimeout < 0 {
		return c, errors.New("server: timeouts must be positive")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return c, nil
}

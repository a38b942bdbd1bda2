package server

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/velonym/velonym/internal/gunzip"
)

// firstBuffer is how much memory a body gets because of its Content-Length alone;
// beyond it, memory grows with the bytes received.
const firstBuffer = 4 << 20

// bodyPadding is the number of bytes beyond a body that kernels may read.
const bodyPadding = 64

// pacedReader reads a body from a connection at no less than Config.MinRate: every read
// extends the read deadline as far as the mean rate allows. It counts the bytes, before
// decompression, and returns errBodyTooLarge beyond limit.
type pacedReader struct {
	r     io.Reader
	conn  net.Conn
	s     *Server
	start time.Time
	set   time.Time // when the deadline was last moved
	n     int64     // bytes read
	limit int64
	eof   bool
}

var errBodyTooLarge = errors.New("server: body over the limit")

func (p *pacedReader) Read(b []byte) (int, error) {
	if p.conn != nil {
		if now := time.Now(); now.Sub(p.set) > p.s.cfg.StallTimeout/16 {
			p.set = now
			if err := p.conn.SetReadDeadline(p.s.deadline(p.start, now, p.n)); err != nil {
				return 0, err
			}
		}
	}
	n, err := p.r.Read(b)
	p.n += int64(n)
	if err == io.EOF {
		p.eof = true
	}
	if p.n > p.limit {
		return n, errBodyTooLarge
	}
	return n, err
}

// deadline returns when a transfer that began at start and moved n bytes by now counts
// as too slow: after a pause of StallTimeout, or when the mean rate has been below
// MinRate for that long.
func (s *Server) deadline(start, now time.Time, n int64) time.Time {
	d := start.Add(s.cfg.StallTimeout + time.Duration(float64(n)/float64(s.cfg.MinRate)*float64(time.Second)))
	if stall := now.Add(s.cfg.StallTimeout); stall.Before(d) {
		d = stall
	}
	return d
}

// readBody reads the whole body into c.in and decompresses it. Memory grows with the
// bytes received, never with the length announced.
func (c *call) readBody(enc coding) *problem {
	s := c.s
	length := c.ctx.Request.Header.ContentLength()
	if int64(length) > s.cfg.MaxBody {
		return s.tooLarge()
	}
	stream := c.ctx.RequestBodyStream()
	if stream == nil {
		c.bodyRead = true
		return nil
	}
	if !c.charge(callMemory) {
		return c.overloaded(callMemory)
	}
	c.bodyStarted = true
	p := &c.paced
	*p = pacedReader{r: stream, s: s, limit: s.cfg.MaxBody}
	// fasthttp has read up to 8 KiB of a body of known length before the handler runs.
	if length < 0 || length > 8<<10 {
		p.conn, p.start = c.ctx.Conn(), c.start
	}
	var pr *problem
	switch enc {
	case codingGzip:
		pr = c.readGzip(p)
	case codingZstd:
		pr = c.readZstd(p)
	default:
		first := int64(length)
		if first < 0 {
			first = 64 << 10
		}
		pr = c.fill(p, min(first, firstBuffer))
	}
	if pr == nil && length >= 0 && p.n < int64(length) {
		pr = newProblem(codeBadRequest, truncated)
	}
	c.bodyRead = p.eof && pr == nil
	*p = pacedReader{}
	return pr
}

// admitBody returns why a body of the announced length would be refused, or nil.
func (c *call) admitBody() *problem {
	length := int64(c.ctx.Request.Header.ContentLength())
	if length > c.s.cfg.MaxBody {
		return c.s.tooLarge()
	}
	if length = max(length, 0) + callMemory; !c.s.mem.reserve(length) {
		return c.overloaded(length)
	}
	c.s.mem.release(length)
	return nil
}

const truncated = "the body ended before all of it had come"

// fill reads r to its end into c.in, which starts with room for first bytes.
func (c *call) fill(r io.Reader, first int64) *problem {
	s := c.s
	var ok bool
	if c.in, ok = ownOrPooled(&s.mem.bytes, c.inOwn[:], int(first)+bodyPadding); !ok {
		return c.overloaded(first)
	}
	if cap(c.in) == len(c.inOwn) {
		s.paths.inlineBody.Add(1)
	} else {
		s.paths.pooledBody.Add(1)
	}
	n := 0
	for {
		room := cap(c.in) - bodyPadding
		if n == room {
			// The buffer is full: reading one more byte shows whether the body continues.
			var one [1]byte
			k, err := r.Read(one[:])
			if k > 0 {
				want := min(2*int64(room), s.cfg.MaxBody+1)
				if c.in, ok = s.mem.bytes.grow(c.in, int(max(want, int64(n)+1))+bodyPadding); !ok {
					return c.overloaded(want)
				}
				c.in = append(c.in[:n], one[0])
				n++
			}
			if err != nil {
				return c.bodyEnded(n, err)
			}
		} else {
			k, err := r.Read(c.in[n:room])
			n += k
			c.in = c.in[:n]
			if err != nil {
				return c.bodyEnded(n, err)
			}
		}
		if int64(n) > s.cfg.MaxBody {
			return s.tooLarge()
		}
	}
}

// bodyEnded returns nil if err is the end of a complete body of n bytes, and otherwise
// what is wrong with the body.
func (c *call) bodyEnded(n int, err error) *problem {
	if err == io.EOF && int64(n) <= c.s.cfg.MaxBody {
		return nil
	}
	return c.bodyProblem(n, err)
}

// bodyProblem returns the problem of a body that did not end as it should. It is separate
// from bodyEnded because errors.As makes its target escape to the heap, wherever in a
// function it is called.
func (c *call) bodyProblem(n int, err error) *problem {
	var timeout net.Error
	switch {
	case int64(n) > c.s.cfg.MaxBody, errors.Is(err, errBodyTooLarge):
		return c.s.tooLarge()
	case errors.As(err, &timeout) && timeout.Timeout():
		return newProblem(codeTimeout, "the body came in too slowly")
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return newProblem(codeBadRequest, "the compressed body needs a window over 8 MiB")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return newProblem(codeBadRequest, truncated)
	case c.decoding:
		return newProblem(codeBadRequest, "the compressed body is damaged")
	}
	return newProblem(codeBadRequest, "the body cannot be read: broken chunks, or the connection was lost")
}

// Memory of a decoder, which is charged to the memory in flight while it works.
const (
	gzipMemory = 64 << 10
	zstdMemory = 20 << 20
	zstdWindow = 8 << 20 // RFC 8878 §3.1.1.1.2 asks for at least this much
)

var (
	gzipReaders sync.Pool
	zstdReaders sync.Pool
)

func (c *call) readGzip(p *pacedReader) *problem {
	if !c.s.mem.reserve(gzipMemory) {
		return c.overloaded(gzipMemory)
	}
	defer c.s.mem.release(gzipMemory)
	c.decoding = true
	z, _ := gzipReaders.Get().(*gunzip.Reader)
	var err error
	if z == nil {
		z, err = gunzip.NewReader(bufio.NewReader(p))
	} else {
		err = z.Reset(p)
	}
	if err != nil {
		if err == io.EOF { // an empty body is not gzip
			err = io.ErrUnexpectedEOF
		}
		return c.bodyEnded(0, err)
	}
	pr := c.fill(z, 64<<10)
	if pr == nil {
		z.Release()
		gzipReaders.Put(z)
	}
	return pr
}

func (c *call) readZstd(p *pacedReader) *problem {
	if !c.s.mem.reserve(zstdMemory) {
		return c.overloaded(zstdMemory)
	}
	defer c.s.mem.release(zstdMemory)
	c.decoding = true
	z, _ := zstdReaders.Get().(*zstd.Decoder)
	var err error
	if z == nil {
		z, err = zstd.NewReader(p, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
	} else {
		err = z.Reset(p)
	}
	if err != nil {
		return c.bodyEnded(0, err)
	}
	pr := c.fill(z, 64<<10)
	if pr == nil && p.n == 0 {
		pr = newProblem(codeBadRequest, truncated)
	}
	if pr == nil && z.Reset(nil) == nil { // drops the reference to the connection
		zstdReaders.Put(z)
	} else {
		z.Close()
	}
	return pr
}

// linger reads and drops what a client is still sending after its answer was sent, so
// that the answer is not lost: closing a socket with unread bytes resets the connection.
// LingerTimeout and MaxDrain bound it.
func (s *Server) linger(conn net.Conn) {
	end := time.Now().Add(s.cfg.LingerTimeout)
	if conn.SetDeadline(end) != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		if half.CloseWrite() != nil {
			return
		}
	}
	s.lingering.add(conn)
	defer s.lingering.remove(conn)
	buf, ok := s.mem.bytes.get(64 << 10)
	if !ok {
		buf = make([]byte, 0, minClass)
	} else {
		defer s.mem.bytes.put(buf)
	}
	for left := s.cfg.MaxDrain; left > 0; {
		n, err := conn.Read(buf[:cap(buf)])
		left -= int64(n)
		if err != nil {
			return
		}
	}
}

package server

import (
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// compressFrom is the size in bytes from which an answer is compressed.
const compressFrom = 1 << 10

// gzipWriters are pooled by level.
var gzipWriters = map[int]*sync.Pool{gzip.HuffmanOnly: {}, gzip.BestSpeed: {}}

// compress encodes the answer with the coding that the client asked for. Pseudonyms do
// not repeat, so they are only Huffman-coded; values are searched for repetitions.
func (c *call) compress(enc coding, pseudonyms bool) *problem {
	if enc == codingIdentity || len(c.out) < compressFrom {
		return nil
	}
	m := c.s.mem
	most := len(c.out) + len(c.out)>>7 + 1<<10
	if !m.reserve(encoderMemory) {
		return c.overloaded(encoderMemory)
	}
	defer m.release(encoderMemory)
	room, ok := m.bytes.get(most)
	if !ok {
		return c.overloaded(int64(most))
	}
	var coded []byte
	if enc == codingZstd {
		coded = c.s.encoder().EncodeAll(c.out, room)
	} else {
		w := appender{room}
		level := gzip.BestSpeed
		if pseudonyms {
			level = gzip.HuffmanOnly
		}
		z, _ := gzipWriters[level].Get().(*gzip.Writer)
		if z == nil {
			z, _ = gzip.NewWriterLevel(&w, level)
		} else {
			z.Reset(&w)
		}
		_, _ = z.Write(c.out) // an appender does not fail
		_ = z.Close()
		z.Reset(nil)
		gzipWriters[level].Put(z)
		coded = w.b
	}
	if coded, ok = m.bytes.adopt(room, coded); !ok {
		return c.overloaded(int64(most))
	}
	m.bytes.put(c.out)
	c.out = coded
	c.ctx.Response.Header.Set("Content-Encoding", enc.String())
	return nil
}

// encoderMemory is charged while an encoder works, in bytes.
const encoderMemory = 8 << 20

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// encoder returns the zstd encoder, which it creates on first use. Pseudonyms do not repeat,
// so a larger window would waste memory.
func (s *Server) encoder() *zstd.Encoder {
	s.zstdOnce.Do(func() {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(s.cfg.Workers), zstd.WithLowerEncoderMem(true),
			zstd.WithAllLitEntropyCompression(true), zstd.WithWindowSize(512<<10))
		if err != nil {
			panic("server: " + err.Error())
		}
		s.zstd = z
	})
	return s.zstd
}

package bulk

import (
	"bytes"
	"context"
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packing returns how the output is to be compressed: as asked, else by its
// suffix, else (standard output has none) not at all.
func (r *run) packing(out string) Compression {
	if r.DryRun {
		return None
	}
	if r.Compress != AutoCompression {
		return r.Compress
	}
	if out == "-" {
		return None
	}
	return bySuffix(out)
}

// packer compresses frames. One goroutine at a time. A compressed output is a
// row of frames (zstd) or members (gzip), one for every chunk: that is how all
// workers can compress at once, and why a resumed output has the same bytes.
type packer struct {
	kind Compression
	z    *zstd.Encoder
	g    *gzip.Writer
	buf  bytes.Buffer
}

func newPacker(c Compression) (*packer, error) {
	p := &packer{kind: c}
	var err error
	switch c {
	case Zstd:
		p.z, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
	case Gzip:
		p.g = gzip.NewWriter(&p.buf)
	}
	return p, err
}

// pack appends the compressed src to dst.
func (p *packer) pack(dst, src []byte) ([]byte, error) {
	switch p.kind {
	case Zstd:
		return p.z.EncodeAll(src, dst), nil
	case Gzip:
		p.buf.Reset()
		p.g.Reset(&p.buf)
		if _, err := p.g.Write(src); err != nil {
			return nil, fmt.Errorf("bulk: gzip: %w", err)
		}
		if err := p.g.Close(); err != nil {
			return nil, fmt.Errorf("bulk: gzip: %w", err)
		}
		return append(dst, p.buf.Bytes()...), nil
	}
	return append(dst, src...), nil
}

// frame returns src as a frame of its own; nothing for nothing.
func (c Compression) frame(src []byte) ([]byte, error) {
	if len(src) == 0 {
		return nil, nil
	}
	return c.always(src)
}

// always returns src as a frame, be it empty.
func (c Compression) always(src []byte) ([]byte, error) {
	p, err := newPacker(c)
	if err != nil {
		return nil, fmt.Errorf("bulk: %w", err)
	}
	return p.pack(nil, src)
}

// packing makes w's output compressed.
type packingWorker struct {
	worker
	p     *packer
	plain []byte
}

// orderedPacking is packingWorker for workers with an ordered part, behind which
// it compresses.
type orderedPacking struct{ packingWorker }

// wrap makes a worker's output compressed.
func (c Compression) wrap(w worker) worker {
	if c == None {
		return w
	}
	p, err := newPacker(c)
	if err != nil {
		return failing{fmt.Errorf("bulk: %w", err)}
	}
	if _, ok := w.(ordered); ok {
		return &orderedPacking{packingWorker{worker: w, p: p}}
	}
	return &packingWorker{worker: w, p: p}
}

func (w *packingWorker) work(ctx context.Context, c *chunk) {
	c.out, w.plain = w.plain[:0], c.out // the packed bytes are in the one, the rows in the other
	w.worker.work(ctx, c)
	w.finish(c)
}

func (w *packingWorker) finish(c *chunk) {
	c.out, w.plain = w.plain[:0], c.out
	if len(w.plain) == 0 || c.fail != nil || c.err != nil {
		return
	}
	var err error
	if c.out, err = w.p.pack(c.out, w.plain); err != nil {
		c.fail = err
	}
}

func (w *orderedPacking) work(ctx context.Context, c *chunk) { w.worker.work(ctx, c) }

func (w *orderedPacking) inOrder(ctx context.Context, c *chunk) {
	c.out, w.plain = w.plain[:0], c.out
	w.worker.(ordered).inOrder(ctx, c)
	w.finish(c)
}

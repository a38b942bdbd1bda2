package bulk

import (
	"bytes"
	"context"
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// outputCompression returns how the output is to be compressed: as asked, else by its
// suffix, else (standard output has none) not at all.
func (r *run) outputCompression(out string) Compression {
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

// packer compresses chunks. One goroutine uses it at a time. Each chunk becomes one zstd
// frame or gzip member, so that workers compress in parallel and a resumed run writes the
// same bytes.
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

// frame returns src as one compressed frame, or nil if src is empty.
func (c Compression) frame(src []byte) ([]byte, error) {
	if len(src) == 0 {
		return nil, nil
	}
	return c.compressEvenEmpty(src)
}

// compressEvenEmpty returns src as one compressed frame, even if src is empty.
func (c Compression) compressEvenEmpty(src []byte) ([]byte, error) {
	p, err := newPacker(c)
	if err != nil {
		return nil, fmt.Errorf("bulk: %w", err)
	}
	return p.pack(nil, src)
}

// compressingWorker compresses the output of another worker.
type compressingWorker struct {
	worker
	p     *packer
	plain []byte
}

// orderedCompressing is compressingWorker for an ordered worker; it compresses after the
// ordered step.
type orderedCompressing struct{ compressingWorker }

// wrap returns a worker that compresses the output of w.
func (c Compression) wrap(w worker) worker {
	if c == None {
		return w
	}
	p, err := newPacker(c)
	if err != nil {
		return failing{fmt.Errorf("bulk: %w", err)}
	}
	if _, ok := w.(ordered); ok {
		return &orderedCompressing{compressingWorker{worker: w, p: p}}
	}
	return &compressingWorker{worker: w, p: p}
}

func (w *compressingWorker) work(ctx context.Context, c *chunk) {
	c.out, w.plain = w.plain[:0], c.out // c.out holds compressed bytes, plain the rows
	w.worker.work(ctx, c)
	w.finish(c)
}

func (w *compressingWorker) finish(c *chunk) {
	c.out, w.plain = w.plain[:0], c.out
	if len(w.plain) == 0 || c.fail != nil || c.err != nil {
		return
	}
	var err error
	if c.out, err = w.p.pack(c.out, w.plain); err != nil {
		c.fail = err
	}
}

func (w *orderedCompressing) work(ctx context.Context, c *chunk) { w.worker.work(ctx, c) }

func (w *orderedCompressing) inOrder(ctx context.Context, c *chunk) {
	c.out, w.plain = w.plain[:0], c.out
	w.worker.(ordered).inOrder(ctx, c)
	w.finish(c)
}

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

// outputWorker encodes and compresses the output of another worker.
type outputWorker struct {
	worker
	encoding Encoding // UTF8: nothing is encoded
	packer   *packer  // nil: nothing is compressed
	text     []byte   // what the other worker wrote
	encoded  []byte
}

// orderedOutput is outputWorker for an ordered worker; its work follows the ordered step.
type orderedOutput struct{ outputWorker }

// wrapOutput returns a worker that encodes and compresses the output of w.
func wrapOutput(w worker, e Encoding, c Compression) worker {
	if c == None && e == UTF8 {
		return w
	}
	o := outputWorker{worker: w, encoding: e}
	if c != None {
		var err error
		if o.packer, err = newPacker(c); err != nil {
			return failing{fmt.Errorf("bulk: %w", err)}
		}
	}
	if _, ok := w.(ordered); ok {
		return &orderedOutput{o}
	}
	return &o
}

func (w *outputWorker) work(ctx context.Context, c *chunk) {
	c.out, w.text = w.text[:0], c.out // c.out holds what is written to the file, text the rows
	w.worker.work(ctx, c)
	w.finish(c)
}

func (w *outputWorker) finish(c *chunk) {
	c.out, w.text = w.text[:0], c.out
	if c.fail != nil || c.err != nil {
		return
	}
	text := w.text
	if w.encoding != UTF8 {
		if text = w.encode(c); c.err != nil {
			return
		}
	}
	if w.packer == nil {
		c.out = append(c.out, text...)
		return
	}
	if len(text) == 0 {
		return
	}
	var err error
	if c.out, err = w.packer.pack(c.out, text); err != nil {
		c.fail = err
	}
}

// encode encodes the rows of a chunk, rejected ones too, and returns those of the output.
func (w *outputWorker) encode(c *chunk) []byte {
	var at int
	var err error
	if w.encoded, at, err = w.encoding.encode(w.encoded[:0], w.text); err != nil {
		c.err = &Error{Line: 1 + int64(bytes.Count(w.text[:at], lf)), Err: err}
		if e := err.(*EncodeError); c.tally.Rejected > 0 {
			e.rowsDropped, c.err.Line = true, 1
		}
		return nil
	}
	if len(c.rejects) > 0 {
		rejects, _, err := w.encoding.encode(nil, c.rejects)
		if err != nil {
			err.(*EncodeError).rowsDropped = true
			c.err = &Error{Line: 1, Err: err}
			return nil
		}
		c.rejects = append(c.rejects[:0], rejects...)
	}
	return w.encoded
}

func (w *orderedOutput) work(ctx context.Context, c *chunk) { w.worker.work(ctx, c) }

func (w *orderedOutput) inOrder(ctx context.Context, c *chunk) {
	c.out, w.text = w.text[:0], c.out
	w.worker.(ordered).inOrder(ctx, c)
	w.finish(c)
}

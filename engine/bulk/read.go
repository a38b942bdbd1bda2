package bulk

import (
	"bytes"
	"fmt"
	"io"
)

// padded returns b with length n and at least padding bytes of capacity after that.
func padded(b []byte, n int) []byte {
	if cap(b) >= n+padding {
		return b[:n]
	}
	g := make([]byte, n, n+padding)
	copy(g, b)
	return g
}

// readAt reads chunk n of a regular file and finds its rows: those from the first row end
// after the chunk's offset to the first row end after the next chunk's offset. Chunks are
// read in parallel; only the parity of quotes passes from chunk to chunk.
func (v *pipeline) readAt(n int, c *chunk) (next checkpoint, err error) {
	off := v.shareStart + int64(n)*int64(v.size)
	end := min(off+int64(v.size), v.shareEnd)
	size := int(end - off)
	c.buf = padded(c.buf, size+overlap)
	got, err := v.pread(c.buf, off)
	if err == nil && got < size {
		err = fmt.Errorf("%s: %w: it became shorter while it was read", v.src.name, ErrChanged)
	}
	parity := false
	if err == nil {
		parity = v.cut.Parity(c.buf[:size])
	}
	if !v.cutOrder.wait(n) {
		return next, errStop
	}
	inside := v.inside
	v.inside = inside != parity
	next.Inside = v.inside
	v.cutOrder.pass()
	next.Chunk = n + 1
	if err != nil {
		return next, err
	}
	v.read.Add(int64(size))
	c.buf = c.buf[:got]
	c.start = 0
	if n > 0 || v.midRow {
		c.start = v.cut.FirstRowEnd(c.buf[:size], inside)
		if c.start < 0 {
			// The whole chunk lies within a row that started before it.
			v.fastPaths.withinRow.Add(1)
			c.start, c.end = 0, 0
			next.In = -1
			return next, nil
		}
	}
	// Find the first row end after the chunk, reading more as needed.
	at, in := size, next.Inside
	for {
		if e := v.cut.FirstRowEnd(c.buf[at:], in); e >= 0 {
			c.end = at + e
			break
		}
		if off+int64(len(c.buf)) >= v.src.size {
			c.end = len(c.buf)
			break
		}
		if int64(len(c.buf)-c.start) > v.max {
			rows := max(v.cut.LastRowEnd(c.buf[c.start:size], false), 0)
			c.end = len(c.buf)
			return next, &rowTooLong{RowTooLongError{v.max}, 1 + int64(bytes.Count(c.buf[c.start:c.start+rows], lf))}
		}
		v.fastPaths.readOn.Add(1)
		in = in != v.cut.Parity(c.buf[at:])
		at = len(c.buf)
		c.buf = padded(c.buf, 2*at)
		got, err := v.pread(c.buf[at:], off+int64(at))
		if err != nil {
			return next, err
		}
		if got == 0 {
			return next, fmt.Errorf("%s: %w: it became shorter while it was read", v.src.name, ErrChanged)
		}
		c.buf = c.buf[:at+got]
	}
	next.In = off + int64(c.end)
	return next, nil
}

// pread fills buf from offset off, up to the end of the file.
func (v *pipeline) pread(buf []byte, off int64) (int, error) {
	if rest := v.src.size - off; int64(len(buf)) > rest {
		buf = buf[:max(rest, 0)]
	}
	n, err := v.src.at.ReadAt(buf, off)
	if err != nil && err != io.EOF {
		return n, fmt.Errorf("%s: %w", v.src.name, bareErr(err))
	}
	return n, nil
}

// readNext reads chunk n of a stream when its turn in cutOrder comes.
func (v *pipeline) readNext(n int, c *chunk) (next checkpoint, err error) {
	if !v.cutOrder.wait(n) {
		return next, errStop
	}
	if v.ended && len(v.carry) == 0 {
		v.cutOrder.halt()
		return next, errStop
	}
	c.buf = padded(c.buf, max(v.size, len(v.carry)))
	have := copy(c.buf, v.carry)
	c.start = 0
	seen := 0 // no row ends before this offset
	in := false
	for {
		for !v.ended && have < len(c.buf) {
			if v.eager && n == v.begin.Chunk && have > seen {
				break // the head may already hold whole rows
			}
			k, err := v.src.stream.Read(c.buf[have:])
			have += k
			if err == io.EOF {
				v.ended = true
			} else if err != nil {
				v.cutOrder.pass()
				return next, v.src.readError(err)
			}
			if v.eager && k > 0 {
				break
			}
		}
		if v.ended {
			c.end = have
			break
		}
		if e := v.cut.LastRowEnd(c.buf[seen:have], in); e >= 0 {
			c.end = seen + e
			break
		}
		if int64(have) > v.max {
			v.cutOrder.pass()
			c.buf, c.end = c.buf[:have], have
			return next, &rowTooLong{RowTooLongError{v.max}, 1}
		}
		in = in != v.cut.Parity(c.buf[seen:have])
		seen = have
		if have == len(c.buf) {
			v.fastPaths.grown.Add(1)
			c.buf = padded(c.buf, 2*have)
		}
	}
	c.buf = c.buf[:have]
	v.carry = append(v.carry[:0], c.buf[c.end:]...)
	v.offset += int64(c.end)
	next = checkpoint{Chunk: n + 1, In: v.offset}
	v.cutOrder.pass()
	return next, nil
}

var lf = []byte{'\n'}

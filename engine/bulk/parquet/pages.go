package parquet

import (
	"errors"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
)

// Limits of a page: of its body, compressed or not, and of its header.
const (
	maxPage       = 512 << 20
	maxPageHeader = 16 << 20
)

// rawPage is an undecoded page of the file.
type rawPage struct {
	at     int64        // offset of its header
	raw    []byte       // the header's bytes
	head   thrift.Value // PageHeader
	kind   format.PageType
	body   []byte // valid until the next page
	number int    // of data pages before it
}

// dataHead returns the header of a data page.
func (p *rawPage) dataHead() *thrift.Value {
	if p.kind == format.DataPageV2 {
		return p.head.Field(pageDataV2)
	}
	return p.head.Field(pageData)
}

// encoding returns the encoding of a data page's values.
func (p *rawPage) encoding() format.Encoding {
	if p.kind == format.DataPageV2 {
		return format.Encoding(p.dataHead().Int(dataV2Encoding))
	}
	return format.Encoding(p.dataHead().Int(dataEncoding))
}

// isIndexes reports whether a data page holds indexes of a dictionary.
func (p *rawPage) isIndexes() bool {
	e := p.encoding()
	return e == plainDictionary || e == format.RLEDictionary
}

// hasNumbers reports whether v, which may be nil, has integers in its fields 1 to n.
func hasNumbers(v *thrift.Value, n int16) bool {
	for id := int16(1); id <= n; id++ {
		if f := v.Field(id); f == nil || f.Kind != thrift.I32 {
			return false
		}
	}
	return v != nil
}

// pages calls each for the pages of a chunk in order. It checks that every page has the
// header of its kind, and that only the first can be a dictionary.
func (f *reader) pages(c *columnChunk, each func(p *rawPage) error) error {
	end := c.start + c.size
	data, seen := 0, int64(0)
	dictionary := false
	for at := c.start; at < end; {
		p := rawPage{at: at, number: data}
		c.page = data + 1
		if err := f.page(c, &p, end); err != nil {
			return err
		}
		at += int64(len(p.raw) + len(p.body))
		switch p.kind {
		case format.DictionaryPage:
			if dictionary || data > 0 {
				return c.bad("a dictionary page that is out of place")
			}
			if !hasNumbers(p.head.Field(pageDict), 2) {
				return c.bad("a page without its header")
			}
			dictionary = true
		case format.DataPage, format.DataPageV2:
			d := p.dataHead()
			if p.kind == format.DataPage && !hasNumbers(d, 4) || p.kind == format.DataPageV2 && !hasNumbers(d, 6) {
				return c.bad("a page without its header")
			}
			n := d.Int(dataValues)
			if n < 0 || n > c.values-seen {
				return c.bad("a page of %d values, of which the column chunk has %d more: it is damaged", n, c.values-seen)
			}
			seen += n
			if p.isIndexes() && !dictionary {
				return c.bad("a page refers to a dictionary that is not there")
			}
			data++
		default:
			return c.bad("a page of type %v, which is not read here", p.kind)
		}
		if err := each(&p); err != nil {
			return err
		}
	}
	c.page = 0
	if seen != c.values {
		return c.bad("pages of %d values in a column chunk of %d: it is damaged", seen, c.values)
	}
	return nil
}

// page reads the page at p.at, before end.
func (f *reader) page(c *columnChunk, p *rawPage, end int64) (err error) {
	if p.head, p.raw, err = f.pageHeader(c, p.at, end-p.at); err != nil {
		return err
	}
	at := p.at + int64(len(p.raw))
	if !hasNumbers(&p.head, 3) {
		return c.bad("a page without its header")
	}
	p.kind = format.PageType(p.head.Int(pageType))
	packed, unpacked := p.head.Int(pagePacked), p.head.Int(pageUnpacked)
	if packed < 0 || packed > maxPage || unpacked < 0 || unpacked > maxPage || packed > end-at {
		return c.bad("a page of %d bytes, %d unpacked, is damaged or over %d MiB", packed, unpacked, maxPage>>20)
	}
	if err := f.fits(packed+unpacked, c.leaf.name(), "a page"); err != nil {
		return err
	}
	if p.body, err = f.readInto(f.body, at, packed, "a page"); err != nil {
		return err
	}
	f.body = p.body
	return nil
}

// pageHeader reads the header at off, of at most limit bytes. Most headers have fewer than
// 100 bytes; those with long statistics have more.
func (f *reader) pageHeader(c *columnChunk, off, limit int64) (h thrift.Value, raw []byte, err error) {
	limit = min(limit, maxPageHeader)
	for size := int64(512); ; size *= 8 {
		b, err := f.read(off, min(size, limit), "a page header")
		if err != nil {
			return h, nil, err
		}
		var n int
		h, n, err = thrift.ReadWithin(b, 1<<16)
		switch {
		case err == nil:
			return h, b[:n], nil
		case errors.Is(err, thrift.ErrShort) && size < limit:
			continue
		}
		return h, nil, f.bad("page header: %w", err)
	}
}

// unpack decompresses body to n bytes, which are valid until the next call.
func (f *reader) unpack(c *columnChunk, body []byte, n int64) ([]byte, error) {
	b, err := f.unpacker.unpack(c.codec, body, n)
	if err != nil {
		return nil, c.bad("a page cannot be unpacked: %w", err)
	}
	if int64(len(b)) != n {
		return nil, c.bad("a page unpacks to %d bytes, not %d: it is damaged", len(b), n)
	}
	return b, nil
}

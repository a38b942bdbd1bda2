package typed

import (
	"encoding/binary"
	"slices"
)

// Layout is how a file stores the values of a type. The values of a column are stored one
// after another, as in PLAIN pages of Parquet and in buffers of Arrow.
type Layout struct {
	Type Type
	// Width is the length of a value in bytes. It is 0 for values of a Decimal with a length
	// of their own, up to 32 bytes; only AppendText and AppendValue handle them.
	Width int
	// BigEndian is the byte order of numbers. Parquet stores decimals as big-endian bytes;
	// everything else is little endian.
	BigEndian bool
}

// Valid reports whether values of the type fit the layout.
func (l Layout) Valid() bool {
	if !l.Type.Valid() {
		return false
	}
	switch l.Type.Kind {
	case Int, Uint:
		return l.Width >= l.Type.Size && (l.Width == 1 || l.Width == 2 || l.Width == 4 || l.Width == 8) && !l.BigEndian
	case Decimal:
		return l.Width >= 0 && l.Width <= 32 && (l.Width > 0 || l.BigEndian)
	case UUID:
		return l.Width == 16
	}
	return l.Width == l.Type.Size
}

// AppendTexts appends the canonical texts of the values in data, whose length is a multiple
// of Width, to arena, and their offsets and lengths there to spans. A value that is not of
// the type is a *ValueError.
func (l Layout) AppendTexts(arena []byte, spans []uint32, data []byte) ([]byte, []uint32, error) {
	n := len(data) / l.Width
	spans = slices.Grow(spans, 2*n)
	switch {
	case l.Type.Kind == Int && l.Width == 8:
		return appendInt64s(arena, spans, data, l.Type)
	case l.Type.Kind == Int && l.Width == 4:
		return appendInt32s(arena, spans, data, l.Type)
	}
	var err error
	for ; len(data) > 0; data = data[l.Width:] {
		at := len(arena)
		if arena, err = l.AppendText(arena, data[:l.Width]); err != nil {
			return arena, spans, err
		}
		spans = append(spans, uint32(at), uint32(len(arena)-at))
	}
	return arena, spans, nil
}

func appendInt64s(arena []byte, spans []uint32, data []byte, t Type) ([]byte, []uint32, error) {
	least, greatest := t.limits()
	for ; len(data) >= 8; data = data[8:] {
		v := int64(binary.LittleEndian.Uint64(data))
		if v < least || v > greatest {
			return arena, spans, &ValueError{t, true}
		}
		at := len(arena)
		arena = AppendInt(arena, v)
		spans = append(spans, uint32(at), uint32(len(arena)-at))
	}
	return arena, spans, nil
}

func appendInt32s(arena []byte, spans []uint32, data []byte, t Type) ([]byte, []uint32, error) {
	least, greatest := t.limits()
	for ; len(data) >= 4; data = data[4:] {
		v := int64(int32(binary.LittleEndian.Uint32(data)))
		if v < least || v > greatest {
			return arena, spans, &ValueError{t, true}
		}
		at := len(arena)
		arena = AppendInt(arena, v)
		spans = append(spans, uint32(at), uint32(len(arena)-at))
	}
	return arena, spans, nil
}

// AppendText appends the canonical text of one stored value to dst.
func (l Layout) AppendText(dst, value []byte) ([]byte, error) {
	switch l.Type.Kind {
	case Int, Uint:
		v := loadUint(value)
		least, greatest := l.Type.limits()
		if l.Type.Kind == Uint {
			if v > uint64(greatest) {
				return dst, &ValueError{l.Type, true}
			}
			return AppendUint(dst, v), nil
		}
		unused := 64 - 8*len(value)
		s := int64(v<<unused) >> unused
		if s < least || s > greatest {
			return dst, &ValueError{l.Type, true}
		}
		return AppendInt(dst, s), nil
	case Decimal:
		if len(value) > 32 || len(value) == 0 {
			return dst, &ValueError{l.Type, true}
		}
		var v wide
		v.load(value, l.BigEndian)
		at := len(dst)
		dst = v.append(dst)
		digits := len(dst) - at
		if dst[at] == '-' {
			digits--
		}
		if digits > l.Type.Precision {
			return dst[:at], &ValueError{l.Type, true}
		}
		return dst, nil
	case UUID:
		return AppendUUID(dst, (*[16]byte)(value)), nil
	}
	return AppendHex(dst, value), nil
}

// loadUint reads a little endian number of 1, 2, 4 or 8 bytes.
func loadUint(b []byte) uint64 {
	switch len(b) {
	case 8:
		return binary.LittleEndian.Uint64(b)
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	}
	return uint64(b[0])
}

// AppendValue appends the stored bytes of the value whose canonical text is text to dst:
// Width bytes, or the fewest that hold the number if Width is 0. For any other text it
// returns a *ValueError and dst unchanged.
func (l Layout) AppendValue(dst, text []byte) ([]byte, error) {
	switch l.Type.Kind {
	case Int, Uint:
		negative, v, digits := parseDigits(text)
		if !digits {
			return dst, l.failed(text)
		}
		_, greatest := l.Type.limits()
		if negative {
			if l.Type.Kind == Uint || v > uint64(greatest)+1 {
				return dst, &ValueError{l.Type, true}
			}
			v = -v
		} else if v > uint64(greatest) {
			return dst, &ValueError{l.Type, true}
		}
		switch l.Width {
		case 8:
			return binary.LittleEndian.AppendUint64(dst, v), nil
		case 4:
			return binary.LittleEndian.AppendUint32(dst, uint32(v)), nil
		case 2:
			return binary.LittleEndian.AppendUint16(dst, uint16(v)), nil
		}
		return append(dst, byte(v)), nil
	case Decimal:
		return l.appendDecimal(dst, text)
	case UUID:
		var u [16]byte
		if !ParseUUID(&u, text) {
			return dst, &ValueError{l.Type, false}
		}
		return append(dst, u[:]...), nil
	}
	if len(text) != 2*l.Width {
		return dst, &ValueError{l.Type, false}
	}
	out, ok := appendUnhex(dst, text)
	if !ok {
		return dst, &ValueError{l.Type, false}
	}
	return out, nil
}

func (l Layout) appendDecimal(dst, text []byte) ([]byte, error) {
	if !isNumber(text) {
		return dst, &ValueError{l.Type, false}
	}
	digits := len(text)
	if text[0] == '-' {
		digits--
	}
	if digits > l.Type.Precision {
		return dst, &ValueError{l.Type, true}
	}
	var v wide
	v.parse(text)
	width := l.Width
	if width == 0 {
		width = v.width()
	} else if v.width() > width {
		return dst, &ValueError{l.Type, true}
	}
	var b [32]byte
	v.store(b[:width], l.BigEndian)
	return append(dst, b[:width]...), nil
}

// AppendNothing appends Width zero bytes, in place of a null.
func (l Layout) AppendNothing(dst []byte) []byte {
	for range l.Width {
		dst = append(dst, 0)
	}
	return dst
}

// failed returns the error for a text that is not the canonical text of an integer of 64 bits.
func (l Layout) failed(text []byte) error {
	return &ValueError{l.Type, isNumber(text)}
}

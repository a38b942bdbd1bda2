package typed

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is the kind of a type's values.
type Kind uint8

// The kinds.
const (
	Int     Kind = iota + 1 // signed integers
	Uint                    // unsigned integers
	Decimal                 // decimals of scale 0
	UUID
	Fixed // other bytes of a fixed length
)

// Type is the type of a column of identifiers.
type Type struct {
	Kind Kind
	Size int // Int, Uint: 1, 2, 4 or 8 bytes; Fixed: its length; else 0
	// Precision is the greatest number of digits of a Decimal: 1 to MaxPrecision.
	Precision int
}

// MaxPrecision is the greatest number of digits that a decimal of 256 bits can have.
const MaxPrecision = 76

// maxFixed is the greatest length of a value of Fixed: its text must be short enough to be
// transformed.
const maxFixed = 1 << 20

// Valid reports whether t is a type of this package.
func (t Type) Valid() bool {
	switch t.Kind {
	case Int, Uint:
		return t.Precision == 0 && (t.Size == 1 || t.Size == 2 || t.Size == 4 || t.Size == 8)
	case Decimal:
		return t.Size == 0 && t.Precision >= 1 && t.Precision <= MaxPrecision
	case UUID:
		return t == Type{Kind: UUID}
	case Fixed:
		return t.Precision == 0 && t.Size >= 1 && t.Size <= maxFixed
	}
	return false
}

// String returns the name that ParseType reads: int64, uint8, decimal(18, 0), uuid or
// fixed(32).
func (t Type) String() string {
	switch t.Kind {
	case Int:
		return fmt.Sprintf("int%d", 8*t.Size)
	case Uint:
		return fmt.Sprintf("uint%d", 8*t.Size)
	case Decimal:
		return fmt.Sprintf("decimal(%d, 0)", t.Precision)
	case UUID:
		return "uuid"
	case Fixed:
		return fmt.Sprintf("fixed(%d)", t.Size)
	}
	return "no type"
}

// ParseType reads the name of a type.
func ParseType(s string) (Type, error) {
	number := func(before, after string) int {
		digits, ok := strings.CutPrefix(s, before)
		if !ok {
			return 0
		}
		digits, _ = strings.CutSuffix(digits, after)
		n, _ := strconv.Atoi(digits)
		return n
	}
	for _, t := range []Type{
		{Kind: Int, Size: number("int", "") / 8},
		{Kind: Uint, Size: number("uint", "") / 8},
		{Kind: Decimal, Precision: number("decimal(", ", 0)")},
		{Kind: UUID},
		{Kind: Fixed, Size: number("fixed(", ")")},
	} {
		if t.Valid() && t.String() == s {
			return t, nil
		}
	}
	return Type{}, fmt.Errorf("no type of identifiers is called %q", s)
}

// limits returns the least and the greatest value of an integer type. For Uint the greatest
// has to be converted to uint64.
func (t Type) limits() (least, greatest int64) {
	if t.Kind == Uint {
		return 0, int64(^uint64(0) >> (64 - 8*t.Size))
	}
	greatest = int64(^uint64(0) >> 1 >> (64 - 8*t.Size))
	return -greatest - 1, greatest
}

// ValueError reports a text or stored bytes that are not a value of the type. It never holds
// the value.
type ValueError struct {
	Type       Type
	OutOfRange bool // it is a number, but outside of the type's range
}

// Error says which type the value should be of.
func (e *ValueError) Error() string {
	if e.OutOfRange {
		return "a number outside the range of " + e.Type.String()
	}
	return "not the text of a value of type " + e.Type.String()
}

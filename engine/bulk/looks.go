package bulk

import (
	"math"
	"strings"
)

// Whether a first row is a header or data: what its fields look like, beside the
// values below them.

// standsForNone says whether v is a common mark of a missing value.
func standsForNone(v string) bool {
	switch strings.ToLower(v) {
	case "na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "missing", "unknown", "\\n":
		return true
	}
	return false
}

// digits counts the ASCII digits of s.
func digits(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] >= '0' && s[i] <= '9' {
			n++
		}
	}
	return n
}

// classes are the kinds of characters that a value holds.
type classes uint16

const (
	hasDigit classes = 1 << iota
	hasLower
	hasUpper
	hasOther // letters outside ASCII
	hasSpace
	hasDash
	hasMark // other punctuation
)

func classesOf(s string) (c classes) {
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b >= '0' && b <= '9':
			c |= hasDigit
		case b >= 'a' && b <= 'z':
			c |= hasLower
		case b >= 'A' && b <= 'Z':
			c |= hasUpper
		case b >= 0x80:
			c |= hasOther
		case b == ' ':
			c |= hasSpace
		case b == '-' || b == '_':
			c |= hasDash
		default:
			c |= hasMark
		}
	}
	return c
}

// looksLike says whether the first field of a column looks like the values below
// it: it is made of the same kinds of characters, and about as long. Without values
// below it looks like data if digits are the most of it.
func looksLike(first string, below []string) bool {
	if first == "" {
		return false
	}
	var all classes
	own := classesOf(first)
	seen, same, least, most := 0, 0, math.MaxInt, 0
	for _, v := range below {
		if v == "" || standsForNone(v) {
			continue
		}
		c := classesOf(v)
		seen++
		all |= c
		if c == own {
			same++
		}
		least, most = min(least, len(v)), max(most, len(v))
	}
	switch {
	case seen == 0:
		return digits(first)*2 >= len(first)
	case own == hasDigit:
		return same > 0
	case own&hasDigit != 0:
		return own&^all == 0 && len(first) >= least-1 && len(first) <= most+1
	}
	return same*2 >= seen && len(first) >= least && len(first) <= most
}

// ofOneKind says whether first holds the same kinds of characters as one of below, or
// no digit. A name such as address1 above addresses does not, and is no data where
// other columns show that it stands in a header.
func ofOneKind(first string, below []string) bool {
	own := classesOf(first)
	if own&hasDigit == 0 {
		return true
	}
	for _, v := range below {
		if classesOf(v) == own {
			return true
		}
	}
	return len(below) == 0
}

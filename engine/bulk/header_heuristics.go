package bulk

import (
	"math"
	"strings"
)

// Heuristics that tell a header from data by comparing the fields of the first row with the
// values below them.

// isMissingMarker reports whether v is a common marker of a missing value.
func isMissingMarker(v string) bool {
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

// classes is the set of character classes in a value.
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

// looksLikeData reports whether the first field of a column resembles the values below it:
// it has the same character classes and about the same length. Without values to compare it
// reports whether at least half of the field is digits.
func looksLikeData(first string, below []string) bool {
	if first == "" {
		return false
	}
	var all classes
	own := classesOf(first)
	seen, same, least, most := 0, 0, math.MaxInt, 0
	for _, v := range below {
		if v == "" || isMissingMarker(v) {
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

// sameKinds reports whether first has no digit or the character classes of one of below. A
// name such as address1 above addresses has neither; it is part of a header if other columns
// show that there is one.
func sameKinds(first string, below []string) bool {
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

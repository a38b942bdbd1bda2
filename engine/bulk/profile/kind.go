package profile

import (
	"bytes"
	"net/netip"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Kind is what a value looks like.
type Kind string

// The kinds, in the order in which a value is compared with them.
const (
	Binary    Kind = "binary"           // not UTF-8, or with control characters
	Digits    Kind = "digits"           // 0 to 9 only
	Boolean   Kind = "true or false"    // true, false, yes, no and the like
	Mail      Kind = "mail address"     //
	UUID      Kind = "UUID"             //
	Date      Kind = "date"             // a calendar day in one of the usual notations
	Timestamp Kind = "date and time"    //
	Number    Kind = "number"           // with a sign, a fraction or an exponent
	IBAN      Kind = "IBAN"             // with correct check digits
	Phone     Kind = "phone number"     // international, with + or 00
	IP        Kind = "IP address"       //
	URL       Kind = "URL"              //
	Grouped   Kind = "digits in groups" // six digits or more with separators
	Random    Kind = "random key"       // 20 characters or more without a pattern: keys, hashes, pseudonyms
	Code      Kind = "code"             // letters and digits without spaces
	Name      Kind = "name"             // capitalised words
	Word      Kind = "words"            // up to three other words
	Text      Kind = "text"             // anything else
)

// kinds lists all kinds. Counters of kinds are arrays with these indices.
var kinds = [...]Kind{Binary, Digits, Boolean, Mail, UUID, Date, Timestamp, Number, IBAN, Phone, IP, URL, Grouped, Random, Code, Name, Word, Text}

// indexOf maps a kind to its index in kinds.
var indexOf = func() map[Kind]int {
	m := make(map[Kind]int, len(kinds))
	for i, k := range kinds {
		m[k] = i
	}
	return m
}()

// content counts the characters of a value by their class.
type content struct {
	length               int // in bytes
	digits, lower, upper int // ASCII
	letters              int // other letters and marks
	spaces               int
	lineEnds             int
	marks                int // other ASCII
	other                int // other Unicode characters
	control              bool
	invalid              bool // not UTF-8
}

func contentOf(v []byte) (c content) {
	c.length = len(v)
	for i := 0; i < len(v); {
		b := v[i]
		if b >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(v[i:])
			i += n
			switch {
			case r == utf8.RuneError && n <= 1:
				c.invalid = true
			case unicode.IsLetter(r) || unicode.IsMark(r):
				c.letters++
			case unicode.IsSpace(r):
				c.spaces++
			default:
				c.other++
			}
			continue
		}
		i++
		switch {
		case b >= '0' && b <= '9':
			c.digits++
		case b >= 'a' && b <= 'z':
			c.lower++
		case b >= 'A' && b <= 'Z':
			c.upper++
		case b == ' ' || b == '\t':
			c.spaces++
		case b == '\n' || b == '\r':
			c.lineEnds++
		case b < ' ' || b == 0x7f:
			c.control = true
		default:
			c.marks++
		}
	}
	return c
}

// classify returns the kind of a value that is not empty and has no white space at its
// ends.
func classify(v []byte) Kind {
	c := contentOf(v)
	switch {
	case c.invalid || c.control:
		return Binary
	case c.digits == len(v):
		return Digits
	case c.lineEnds > 0:
		return Text
	case c.digits == 0:
		return withoutDigits(v, c)
	case c.letters == 0 && c.other == 0:
		if k := ofPattern(v, c); k != "" {
			return k
		}
	}
	switch {
	case c.spaces > 0 || c.other > 0:
		if c.spaces >= 3 || len(v) > 40 {
			return Text
		}
		return Word
	case isMail(v):
		return Mail
	}
	return Code
}

// withoutDigits classifies a value of a single line without ASCII digits.
func withoutDigits(v []byte, c content) Kind {
	switch {
	case isBoolean(v):
		return Boolean
	case isMail(v):
		return Mail
	case bytes.Contains(v, []byte("://")):
		return URL
	case c.spaces == 0 && c.marks == 0 && c.letters == 0 && c.other == 0 && isRandom(v, c):
		return Random
	case isName(v):
		return Name
	case c.spaces >= 3 || len(v) > 60:
		return Text
	}
	return Word
}

// ofPattern returns the kind of an ASCII value with digits that follows a notation, or "".
func ofPattern(v []byte, c content) Kind {
	letters := c.lower + c.upper
	switch {
	case isMail(v):
		return Mail
	case isUUID(v):
		return UUID
	case isDate(v):
		return Date
	case isTimestamp(v):
		return Timestamp
	case isNumber(v):
		return Number
	case isIBAN(v):
		return IBAN
	case letters == 0 && isPhone(v, c):
		return Phone
	case isIP(v):
		return IP
	case bytes.Contains(v, []byte("://")):
		return URL
	case letters == 0 && c.digits >= 6 && onlyMarks(v, " .-/_()"):
		return Grouped
	case c.spaces == 0 && isRandom(v, c):
		return Random
	}
	return ""
}

// IsValue reports whether the name of a member looks like a value: it is a number of four
// digits or more, a mail address, a date, a UUID or a random key.
func IsValue(name string) bool {
	if name == "" {
		return false
	}
	v := []byte(name)
	switch classify(v) {
	case Digits, Grouped:
		return len(v) >= 4
	case Mail, UUID, Date, Timestamp, IBAN, Phone, IP, Random, Binary:
		return true
	case Code:
		return contentOf(v).digits >= 6
	}
	return false
}

func isBoolean(v []byte) bool {
	if len(v) > 5 {
		return false
	}
	switch string(bytes.ToLower(v)) {
	case "true", "false", "yes", "no", "oui", "non", "ja", "nein", "y", "n", "t", "f":
		return true
	}
	return false
}

func isMail(v []byte) bool {
	at := bytes.IndexByte(v, '@')
	if at < 1 || at != bytes.LastIndexByte(v, '@') || bytes.ContainsAny(v, " \t,;<>\"") {
		return false
	}
	dot := bytes.LastIndexByte(v[at:], '.')
	return dot > 1 && dot < len(v)-at-2
}

func isUUID(v []byte) bool {
	v = bytes.TrimSuffix(bytes.TrimPrefix(v, []byte("{")), []byte("}"))
	if len(v) != 36 {
		return false
	}
	for i, b := range v {
		switch i {
		case 8, 13, 18, 23:
			if b != '-' {
				return false
			}
		default:
			if !isHexDigit(b) {
				return false
			}
		}
	}
	return true
}

func isHexDigit(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

// isDate reports whether v is year-month-day or day-month-year, with -, . or / between
// them. Month and day may be swapped.
func isDate(v []byte) bool {
	if len(v) < 8 || len(v) > 10 {
		return false
	}
	sep := v[len(v)-5] // of day-month-year
	if !isDateSeparator(sep) {
		if sep = v[4]; !isDateSeparator(sep) {
			return false
		}
	}
	parts := bytes.Split(v, []byte{sep})
	if len(parts) != 3 {
		return false
	}
	if len(parts[0]) == 4 {
		slices.Reverse(parts)
	}
	day, month, year := small(parts[0]), small(parts[1]), small(parts[2])
	return len(parts[2]) == 4 && isDay(year, month, day) || len(parts[2]) == 4 && isDay(year, day, month)
}

func isDateSeparator(b byte) bool { return b == '-' || b == '.' || b == '/' }

// small returns the value of one to four digits, or -1.
func small(v []byte) int {
	if len(v) == 0 || len(v) > 4 {
		return -1
	}
	n := 0
	for _, b := range v {
		if b < '0' || b > '9' {
			return -1
		}
		n = 10*n + int(b-'0')
	}
	return n
}

// isDay reports whether year, month and day are plausible.
func isDay(year, month, day int) bool {
	return year >= 1800 && year <= 2200 && month >= 1 && month <= 12 && day >= 1 && day <= 31
}

func isTimestamp(v []byte) bool {
	i := bytes.IndexAny(v, "T ")
	return i >= 8 && isDate(v[:i]) && len(v) >= i+6 && small(v[i+1:i+3]) >= 0 && v[i+3] == ':' && small(v[i+4:i+6]) >= 0
}

// isNumber reports whether v is a number with a sign, a fraction or an exponent. A comma
// counts as a decimal point.
func isNumber(v []byte) bool {
	if v[0] == '-' || v[0] == '+' && len(v) < 8 { // longer ones with + are phone numbers
		v = v[1:]
	}
	points, digits := 0, 0
	for i, b := range v {
		switch {
		case b >= '0' && b <= '9':
			digits++
		case b == '.' || b == ',':
			points++
		case (b == 'e' || b == 'E') && digits > 0:
			exponent := bytes.TrimLeft(v[i+1:], "+-")
			return points <= 1 && len(exponent) < 4 && small(exponent) >= 0
		default:
			return false
		}
	}
	return digits > 0 && points <= 1
}

// isIBAN verifies an IBAN with or without spaces (ISO 13616: modulo 97).
func isIBAN(v []byte) bool {
	if len(v) < 15 || len(v) > 42 || v[0] < 'A' || v[0] > 'Z' || v[1] < 'A' || v[1] > 'Z' || small(v[2:4]) < 0 {
		return false
	}
	n, chars := 0, 0
	for i := range v {
		b := v[(i+4)%len(v)]
		switch {
		case b >= '0' && b <= '9':
			n = (10*n + int(b-'0')) % 97
		case b >= 'A' && b <= 'Z':
			n = (100*n + int(b-'A') + 10) % 97
		case b == ' ':
			continue
		default:
			return false
		}
		chars++
	}
	return chars >= 15 && chars <= 34 && n == 1
}

func isPhone(v []byte, c content) bool {
	return (v[0] == '+' || bytes.HasPrefix(v, []byte("00")) && c.marks+c.spaces > 0) &&
		c.digits >= 7 && c.digits <= 17 && onlyMarks(v, " +-./()")
}

// onlyMarks reports whether all characters of v are digits or in marks.
func onlyMarks(v []byte, marks string) bool {
	for _, b := range v {
		if (b < '0' || b > '9') && bytes.IndexByte([]byte(marks), b) < 0 {
			return false
		}
	}
	return true
}

func isIP(v []byte) bool {
	if len(v) < 7 || len(v) > 45 || bytes.Count(v, []byte{'.'}) != 3 && bytes.IndexByte(v, ':') < 0 {
		return false
	}
	_, err := netip.ParseAddr(string(v))
	return err == nil
}

// isRandom reports whether v looks like a key, a hash or a pseudonym: at least 20
// characters without separators, hexadecimal or with both cases mixed.
func isRandom(v []byte, c content) bool {
	if len(v) < 20 || c.marks > 2 {
		return false
	}
	hex := true
	changes := 0 // between classes of characters
	var last byte
	for _, b := range v {
		hex = hex && isHexDigit(b)
		class := byte('m')
		switch {
		case b >= '0' && b <= '9':
			class = '0'
		case b >= 'a' && b <= 'z':
			class = 'a'
		case b >= 'A' && b <= 'Z':
			class = 'A'
		}
		if class != last {
			changes++
		}
		last = class
	}
	return hex && c.digits > 0 && c.lower+c.upper > 0 || changes > len(v)/4
}

// particles are words of names that are written in lower case.
var particles = map[string]bool{"de": true, "da": true, "do": true, "dos": true, "di": true, "du": true, "des": true, "del": true, "della": true, "van": true, "der": true,
	"den": true, "von": true, "vom": true, "zu": true, "zum": true, "la": true, "le": true, "el": true, "al": true, "bin": true, "ibn": true, "y": true, "e": true, "ter": true, "ten": true}

// isName reports whether v is one to five capitalised words, among them at least one of
// two letters or more that is not in lower case. Letters of scripts without case count as
// capital letters.
func isName(v []byte) bool {
	if len(v) > 80 {
		return false
	}
	words, capitalised := 0, false
	for word := range bytes.FieldsFuncSeq(v, func(r rune) bool { return r == ' ' || r == '-' || r == ',' || r == '.' || r == '\u00a0' }) {
		words++
		first, size := utf8.DecodeRune(word)
		if particles[string(word)] {
			continue
		}
		if !unicode.IsLetter(first) || unicode.IsLower(first) && !bytes.ContainsAny(word, "'’") {
			return false
		}
		for _, r := range string(word[size:]) {
			if !unicode.IsLetter(r) && !unicode.IsMark(r) && r != '\'' && r != '’' {
				return false
			}
		}
		capitalised = capitalised || utf8.RuneCount(word) > 1 || !unicode.IsUpper(first)
	}
	return capitalised && words <= 5
}

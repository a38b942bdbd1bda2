package typed

import "errors"

// Change says what becomes of the values of a column, and so of its type.
type Change int

// The changes.
const (
	// Pseudonymise: values become pseudonyms. A column of another type becomes strings,
	// and the file remembers what it was.
	Pseudonymise Change = iota
	// Translate: pseudonyms become pseudonyms of another domain. What the file remembers
	// of their column stays.
	Translate
	// Restore: pseudonyms become values again, and the column what the file remembers.
	Restore
	// Reverse: as Restore, but the column stays one of strings.
	Reverse
)

// Effect is what a Change does to a column, for messages.
type Effect struct {
	Annotation string   // of a column of strings that loses it, as Parquet's "JSON" and "ENUM"
	Was        string   // type of a column that becomes strings, in the format's words; else ""
	Number     bool     // it was one of numbers
	Hex        bool     // it was one of bytes whose text is hexadecimal
	Decoded    bool     // the column was encoded with a dictionary, which the output has not
	Becomes    string   // type that a column of strings gets back; else ""
	Dropped    []string // metadata of other systems that would contradict the new type and was removed
}

// ErrEmpty says of a reversed value that is none of the type that its column gets back
// that it is empty.
var ErrEmpty = errors.New("an empty value")

// Describe notes in an effect which kind of values a column of the type had.
func (t Type) Describe(e *Effect) {
	switch t.Kind {
	case UUID:
	case Fixed:
		e.Hex = true
	default:
		e.Number = true
	}
}

package typed

import "errors"

// Change is what happens to the values of a column, which decides its type.
type Change int

// The changes.
const (
	// Pseudonymise: values become pseudonyms. A column of another type becomes one of
	// strings, and the file's metadata records the original type.
	Pseudonymise Change = iota
	// Translate: pseudonyms become pseudonyms of another domain. The recorded original type
	// stays.
	Translate
	// Restore: pseudonyms become values again, and the column gets its original type back.
	Restore
	// Reverse: like Restore, but the column stays one of strings.
	Reverse
)

// Effect is what a Change does to a column, for messages.
type Effect struct {
	Annotation string   // annotation that a column of strings loses, as Parquet's "JSON" and "ENUM"; else ""
	Was        string   // type of a column that becomes strings, in the format's words; else ""
	Number     bool     // the type was one of numbers
	Hex        bool     // the type was one of bytes whose text is hexadecimal
	Decoded    bool     // the column was encoded with a dictionary, which the output omits
	Becomes    string   // type that a column of strings gets back; else ""
	Dropped    []string // keys of other systems' metadata that contradicted the new type and was removed
}

// ErrEmpty is the error for a reversed value that is empty in a column that gets its original
// type back.
var ErrEmpty = errors.New("an empty value")

// Describe sets Number and Hex of an effect for a column of the type.
func (t Type) Describe(e *Effect) {
	switch t.Kind {
	case UUID:
	case Fixed:
		e.Hex = true
	default:
		e.Number = true
	}
}

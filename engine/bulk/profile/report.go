package profile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Identifies says whether the values of a column identify people.
type Identifies string

// The answers.
const (
	Yes   Identifies = "yes"   // one value is enough to recognise or find a person
	Maybe Identifies = "maybe" // together with other columns, or in some values
	No    Identifies = "no"    // as far as the values and the name show
)

// Report describes a table.
type Report struct {
	File    string         `json:"file"`
	Format  string         `json:"format"`
	Rows    int64          `json:"rows"`
	Columns []ColumnReport `json:"columns"`
	Notes   []string       `json:"notes,omitempty"` // about the file as a whole
}

// ColumnReport describes a column.
type ColumnReport struct {
	Number     int         `json:"number"`         // from 1
	Name       string      `json:"name,omitempty"` // empty if the first row may be data
	Filled     int64       `json:"filled"`         // values that are not missing
	Missing    int64       `json:"missing"`
	Distinct   int64       `json:"distinct"` // estimated number of different values
	MinLength  int         `json:"min_length"`
	MaxLength  int         `json:"max_length"`
	Kinds      []KindCount `json:"kinds"` // the most frequent first
	LooksLike  string      `json:"looks_like"`
	Identifies Identifies  `json:"identifies"`
	Why        string      `json:"why,omitempty"`
	Padded     int64       `json:"padded,omitempty"`   // values with white space at an end
	Controls   int64       `json:"controls,omitempty"` // values with control characters or line ends, or not UTF-8: a run refuses them
	NotText    int64       `json:"not_text,omitempty"` // JSON: values that are numbers, true or false
	Refused    string      `json:"refused,omitempty"`  // why the column was not read
}

// KindCount is the number of values of a kind.
type KindCount struct {
	Kind   Kind  `json:"kind"`
	Values int64 `json:"values"`
}

// Report describes the columns.
func (t *Columns) Report() []ColumnReport {
	reports := make([]ColumnReport, 0, len(t.list))
	for i, c := range t.list {
		reports = append(reports, c.report(i+1))
	}
	return reports
}

func (c *Column) report(number int) ColumnReport {
	r := ColumnReport{Number: number, Name: c.name, Filled: c.filled, Missing: c.missing, Distinct: c.distinct(),
		MinLength: c.min, MaxLength: c.max, Padded: c.padded, Controls: c.controls, NotText: c.notValues, Refused: c.refused, Kinds: []KindCount{}}
	for i, n := range c.kinds {
		if n > 0 {
			r.Kinds = append(r.Kinds, KindCount{kinds[i], n})
		}
	}
	slices.SortStableFunc(r.Kinds, func(a, b KindCount) int { return cmp.Compare(b.Values, a.Values) })
	f := c.find(&r)
	r.LooksLike = f.looksLike
	r.Identifies, r.Why = f.judge(&r)
	return r
}

// finding is what the values of a column have in common.
type finding struct {
	looksLike string
	main      Kind   // of at least half of the values; "" if there is none
	check     string // name of the number whose check digits are right
	date      bool   // digits that are dates
	running   bool   // digits that count upwards
	length    int    // of most values of digits
}

// share reports whether part is at least percent of whole.
func share(part, whole, percent int64) bool { return whole > 0 && 100*part >= percent*whole }

// find describes the values of a column.
func (c *Column) find(r *ColumnReport) finding {
	var f finding
	if c.filled == 0 {
		f.looksLike = "nothing"
		if c.refused != "" {
			f.looksLike = "not read"
		}
		return f
	}
	if share(r.Kinds[0].Values, c.filled, 50) {
		f.main = r.Kinds[0].Kind
	}
	var parts []string
	for i, k := range r.Kinds {
		if i > 0 && (i == 3 || !share(k.Values, c.filled, 3)) {
			parts = append(parts, "others")
			break
		}
		text := string(k.Kind)
		if k.Kind == Digits {
			text = c.findDigits(&f, k.Values)
		}
		if len(r.Kinds) > 1 && !share(k.Values, c.filled, 100) {
			text += fmt.Sprintf(" (%d %%)", (100*k.Values+c.filled/2)/c.filled)
		}
		parts = append(parts, text)
	}
	f.looksLike = strings.Join(parts, ", ")
	return f
}

// findDigits describes the n values of digits.
func (c *Column) findDigits(f *finding, n int64) string {
	for i, check := range numberChecks {
		if n >= 5 && share(c.valid[i], n, 90) {
			if check.date {
				f.date = true
			} else {
				f.check = check.name
			}
			return check.name
		}
	}
	least, most := maxDigits, 0
	for length, k := range c.lengths {
		if k == 0 {
			continue
		}
		least, most = min(least, length), max(most, length)
		if share(k, n, 50) {
			f.length = length
		}
	}
	text := fmt.Sprintf("%d to %d digits", least, most)
	switch {
	case least == most:
		text = fmt.Sprintf("%d digits", most)
	case f.length > 0 && share(c.lengths[f.length], n, 90):
		text = fmt.Sprintf("mostly %d digits", f.length)
	}
	if f.length == 0 {
		f.length = most
	}
	if f.running = !c.counted && n >= 5 && share(c.following, n, 90); f.running {
		text += ", a running number"
	}
	return text
}

// minDistinct is the least number of different values of a column that may identify people
// although neither its kind nor its name suggests it.
const minDistinct = 20

// judge returns whether a column identifies people, and why.
func (f *finding) judge(r *ColumnReport) (Identifies, string) {
	hints := hintsOf(r.Name)
	many := r.Distinct >= minDistinct || share(r.Distinct, r.Filled, 50)
	different := fmt.Sprintf("%d different among %d", r.Distinct, r.Filled)
	switch {
	case r.Refused != "":
		return No, r.Refused
	case r.Filled == 0:
		return No, "no value"
	case f.check != "":
		return Yes, f.check
	case f.main == Mail || f.main == IBAN || f.main == Phone:
		return Yes, string(f.main)
	case f.main == Boolean || f.running && !hints[hintPerson]:
		return No, ""
	case hints[hintContact] && many && f.main != Date && f.main != Timestamp:
		return Yes, "its name, " + different
	case hints[hintBirth]:
		return Maybe, "its name: with sex and place a birth date identifies most people"
	case hints[hintName] && !hints[hintPlace] && f.main != Digits && f.main != Number && f.main != Date && f.main != Timestamp:
		return Yes, "its name"
	case f.main == IP || f.main == UUID && many:
		return Yes, string(f.main) + ", " + different
	case (f.main == Digits || f.main == Grouped) && !f.date:
		long := f.length >= 6 || f.main == Grouped
		if many && (long || hints[hintNumber] && f.length >= 4) && share(r.Distinct, r.Filled, 2) {
			return Yes, different
		}
		return No, ""
	case f.main == Code || f.main == Random:
		if many && share(r.Distinct, r.Filled, 20) || many && hints[hintNumber] {
			return Yes, different
		}
		return No, ""
	case f.main == Date || f.main == Timestamp || f.main == Number || f.date:
		return No, ""
	case f.main == Text || r.MaxLength > 40 && f.main == "":
		return Maybe, "text can contain names"
	case f.main == Name && many:
		return Maybe, "capitalised words, " + different
	case hints[hintPlace] && many:
		return Maybe, "its name, " + different
	case f.main == "" && many && share(r.Distinct, r.Filled, 50):
		return Maybe, different
	}
	return No, ""
}

// hint is a meaning of the words in a column's name.
type hint int

const (
	hintPerson  hint = iota // a word for an identifier of a person
	hintNumber              // a word for identifiers of any kind
	hintName                // a person's name
	hintContact             // address, telephone, mail
	hintBirth
	hintPlace
)

// hintWords lists words of column names in English, French, German and Luxembourgish
// usage.
var hintWords = map[string]hint{
	"ssn": hintPerson, "nin": hintPerson, "matricule": hintPerson, "nrn": hintPerson, "niss": hintPerson, "nir": hintPerson, "insee": hintPerson, "bsn": hintPerson,
	"pesel": hintPerson, "nhs": hintPerson, "mrn": hintPerson, "passport": hintPerson, "national": hintPerson, "patient": hintPerson, "insured": hintPerson,
	"versicherten": hintPerson, "tax": hintPerson, "steuer": hintPerson, "pid": hintPerson, "person": hintPerson, "citizen": hintPerson,
	"id": hintNumber, "ids": hintNumber, "identifier": hintNumber, "nr": hintNumber, "no": hintNumber, "num": hintNumber, "number": hintNumber, "nummer": hintNumber,
	"numero": hintNumber, "key": hintNumber, "account": hintNumber, "konto": hintNumber, "case": hintNumber,
	"name": hintName, "names": hintName, "nom": hintName, "prenom": hintName, "prénom": hintName, "surname": hintName, "firstname": hintName, "lastname": hintName, "forename": hintName,
	"vorname": hintName, "nachname": hintName, "familienname": hintName, "familyname": hintName, "givenname": hintName, "fullname": hintName,
	"address": hintContact, "adresse": hintContact, "anschrift": hintContact, "street": hintContact, "rue": hintContact, "strasse": hintContact, "straße": hintContact,
	"mail": hintContact, "email": hintContact, "phone": hintContact, "telephone": hintContact, "téléphone": hintContact, "tel": hintContact, "telefon": hintContact, "mobile": hintContact, "gsm": hintContact,
	"birth": hintBirth, "birthdate": hintBirth, "born": hintBirth, "dob": hintBirth, "naissance": hintBirth, "geburt": hintBirth, "geburtsdatum": hintBirth, "birthday": hintBirth,
	"zip": hintPlace, "plz": hintPlace, "postcode": hintPlace, "postal": hintPlace, "city": hintPlace, "town": hintPlace, "ville": hintPlace, "ort": hintPlace, "commune": hintPlace, "municipality": hintPlace,
}

// hintsOf returns the meanings of the words in a column's name.
func hintsOf(name string) map[hint]bool {
	found := map[hint]bool{}
	for _, word := range wordsOf(name) {
		if h, ok := hintWords[word]; ok {
			found[h] = true
		}
	}
	return found
}

// wordsOf splits a name such as patient_id, patientId or "Patient ID" into lower-case
// words.
func wordsOf(name string) []string {
	var b strings.Builder
	last := ' '
	for _, r := range name {
		switch {
		case r >= 'A' && r <= 'Z' && last >= 'a' && last <= 'z':
			b.WriteByte(' ')
			b.WriteRune(r)
		case r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= 0x80:
			b.WriteRune(r)
		default:
			b.WriteByte(' ')
		}
		last = r
	}
	return strings.Fields(strings.ToLower(b.String()))
}

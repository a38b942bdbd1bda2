package profile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	for kind, values := range map[Kind][]string{
		Digits:    {"0", "1893120105732", "007"},
		Boolean:   {"true", "No", "oui", "F"},
		Mail:      {"anna.muller@mail.example", "a+b@x.lu", "ünal@mail.example", "a1@b2.example"},
		UUID:      {"123e4567-e89b-12d3-a456-426614174000", "{123E4567-E89B-12D3-A456-426614174000}"},
		Date:      {"1985-07-30", "30.07.1985", "7/30/1985", "30/7/1985", "1985/07/30"},
		Timestamp: {"2025-01-02T03:04:05Z", "2025-01-02 03:04"},
		Number:    {"-12", "3.14", "1,5", "6.02e23", "+5", ".5"},
		IBAN:      {"LU280019400644750000", "DE89 3704 0044 0532 0130 00"},
		Phone:     {"+352 621 123 456", "+352621123456", "00352-621-123-456"},
		IP:        {"192.0.2.17", "2001:db8::1"},
		URL:       {"https://example.org/a?b=1", "ftp://example"},
		Grouped:   {"85.07.30-033.28", "1893 12 01 057 32"},
		Random:    {"9f86d081884c7d659a2feaa0c55ad015", "aKbq9ZrXw3TtUv8QpLm2NsYcVe5RdGhJ", "QmFzZTY0VXJsU2FmZVRva2Vu"},
		Code:      {"E11.9", "AB123456", "J45.909", "L-1234"},
		Name:      {"Anna", "Müller-Thill", "Van der Meer", "O'Neil", "D'Amico", "Dupont, Anna", "MULLER", "Ольга", "王芳", "محمد", "Nguyễn Thị", "d'Alembert"},
		Word:      {"active", "no further", "L-1234 Luxembourg", "dose 2"},
		Text:      {"patient says it is better", "first line\nsecond line", "dose reduced to 50 per cent, see annex"},
		Binary:    {"\xff\xfe", "a\x00b"},
	} {
		for _, v := range values {
			if got := classify([]byte(v)); got != kind {
				t.Errorf("%q is of kind %q, want %q", v, got, kind)
			}
		}
	}
	for _, v := range []string{"LU290019400644750000", "1985-13-30", "192.0.2.300", "not@mail", "123e4567-e89b-12d3-a456-42661417400g"} {
		switch k := classify([]byte(v)); k {
		case IBAN, Date, IP, Mail, UUID:
			t.Errorf("%q is of kind %q", v, k)
		}
	}
}

// TestNumberChecks checks published examples, and that changing a digit makes them wrong.
func TestNumberChecks(t *testing.T) {
	examples := map[string]string{
		"national number of Luxembourg":    "1893120105732",
		"national number of Belgium":       "85073003328",
		"social security number of France": "255081416802538",
		"tax number of Germany":            "86095742719",
		"PESEL number of Poland":           "44051401359",
		"NHS number of the United Kingdom": "9434765919",
		"BSN of the Netherlands":           "111222333",
		"date of 8 digits":                 "19850730",
	}
	for _, check := range numberChecks {
		d := []byte(examples[check.name])
		for i := range d {
			d[i] -= '0'
		}
		if len(d) != check.digits || !check.valid(d) {
			t.Errorf("%s: the example is not valid", check.name)
			continue
		}
		if check.date {
			continue
		}
		d[6] = (d[6] + 1) % 10
		if check.valid(d) {
			t.Errorf("%s: the example with a wrong digit is valid", check.name)
		}
	}
}

// table returns the reports of columns that are given by name and values.
func table(columns map[string][]string) map[string]ColumnReport {
	t := NewColumns()
	for name, values := range columns {
		c := t.Append(name)
		for _, v := range values {
			c.Add([]byte(v), 1)
		}
	}
	reports := map[string]ColumnReport{}
	for _, r := range t.Report() {
		reports[r.Name] = r
	}
	return reports
}

// repeat returns n values made by f.
func repeat(n int, f func(i int) string) (values []string) {
	for i := range n {
		values = append(values, f(i))
	}
	return values
}

// TestJudgeIdentifyingColumns checks which columns count as identifying people, by their
// values and names.
func TestJudgeIdentifyingColumns(t *testing.T) {
	given := strings.Fields("Anna Luc Marie Zoé José Søren Diane Emile Hélène Ivo Josy Kim Laurent Mireille Norbert Odile Pit Romain Simone Théo Viviane Camille Bob")
	columns := map[string][]string{
		"row":          repeat(1000, func(i int) string { return fmt.Sprint(i + 1) }),
		"reference":    repeat(1000, func(i int) string { return fmt.Sprintf("%010d", i*7919*104729%10_000_000_000) }),
		"mail":         repeat(100, func(i int) string { return fmt.Sprintf("p%d@mail.example", i) }),
		"x":            repeat(100, func(i int) string { return fmt.Sprintf("AB%06d", i*7919%1000000) }),
		"uuid":         repeat(100, func(i int) string { return fmt.Sprintf("123e4567-e89b-12d3-a456-%012d", i) }),
		"given_name":   repeat(100, func(i int) string { return given[i%len(given)] }),
		"whoever":      repeat(100, func(i int) string { return given[i%len(given)] }),
		"birth_date":   repeat(100, func(i int) string { return fmt.Sprintf("19%02d-03-%02d", i, 1+i%28) }),
		"visit":        repeat(100, func(i int) string { return fmt.Sprintf("2025-03-%02d", 1+i%28) }),
		"amount":       repeat(100, func(i int) string { return fmt.Sprintf("%d.50", i) }),
		"state":        repeat(100, func(i int) string { return []string{"active", "closed"}[i%2] }),
		"note":         repeat(100, func(i int) string { return fmt.Sprintf("seen again after %d days of rest", i) }),
		"homeAddress":  repeat(100, func(i int) string { return fmt.Sprintf("%d, rue de la Gare, L-%d Esch", i, 1000+i) }),
		"diagnosis":    repeat(1000, func(i int) string { return []string{"E11.9", "I10", "J45.909"}[i%3] }),
		"patient_no":   repeat(100, func(i int) string { return fmt.Sprint(1000 + i*37%9000) }),
		"empty column": repeat(100, func(int) string { return "" }),
	}
	want := map[string]Identifies{"row": No, "reference": Yes, "mail": Yes, "x": Yes, "uuid": Yes, "given_name": Yes, "whoever": Maybe, "birth_date": Maybe,
		"visit": No, "amount": No, "state": No, "note": Maybe, "homeAddress": Yes, "diagnosis": No, "patient_no": Yes, "empty column": No}
	got := table(columns)
	for name, w := range want {
		if g := got[name]; g.Identifies != w {
			t.Errorf("column %s: identifies %s (%s, %s), want %s", name, g.Identifies, g.LooksLike, g.Why, w)
		}
	}
	if r := got["row"]; !strings.Contains(r.LooksLike, "running number") {
		t.Errorf("row looks like %q, want a running number", r.LooksLike)
	}
	if r := got["reference"]; r.LooksLike != "10 digits" || r.Distinct < 950 || r.Distinct > 1000 {
		t.Errorf("reference: %+v, want 10 digits and about 975 distinct values", r)
	}
}

// TestCounts checks missing values, padding, lengths and values that occur several times.
func TestCounts(t *testing.T) {
	columns := NewColumns("a")
	c := columns.Column(0)
	for _, v := range []string{"12", " 345 ", "", "NA", "  ", "n/a", "\n67\n"} {
		c.Add([]byte(v), 1)
	}
	c.Add([]byte("8\n9"), 1)
	c.Add([]byte("6789"), 5)
	c.Missing(2)
	r := columns.Report()[0]
	if r.Filled != 9 || r.Missing != 6 || r.Padded != 2 || r.Controls != 1 || r.MinLength != 2 || r.MaxLength != 4 || r.Distinct < 4 || r.Distinct > 5 ||
		len(r.Kinds) != 2 || r.Kinds[0] != (KindCount{Digits, 8}) || r.LooksLike != "2 to 4 digits (89 %), text (11 %)" {
		t.Errorf("%+v", r)
	}
	c.Pad(20)
	if r := columns.Report()[0]; r.Missing != 11 {
		t.Errorf("padded to 20 rows, %d are missing, want 11", r.Missing)
	}
}

// TestReportHoldsNoValue checks that a report holds no part of a value.
func TestReportHoldsNoValue(t *testing.T) {
	values := []string{"Zaunkoenig", "7714503926118", "kolibri@voliere.example", "1977-11-23", "Rue des Hirondelles 4711", "\xffbinary", "+352 661 987 654"}
	for i := range values {
		report, err := json.Marshal(table(map[string][]string{"c": repeat(50, func(k int) string {
			if k%5 == 0 {
				return values[(i+1)%len(values)]
			}
			return values[i]
		})}))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			for at := 0; at+5 <= len(v); at++ {
				if strings.Contains(string(report), v[at:at+5]) && !strings.Contains("binary", v[at:at+5]) {
					t.Errorf("the report holds %q of a value: %s", v[at:at+5], report)
				}
			}
		}
	}
}

func TestIsValue(t *testing.T) {
	for name, want := range map[string]bool{"": false, "id": false, "patient": false, "c1": false, "2024": true, "1893120105732": true, "a@b.example": true,
		"1985-07-30": true, "AB123456": true, "123e4567-e89b-12d3-a456-426614174000": true, "address line": false} {
		if got := IsValue(name); got != want {
			t.Errorf("IsValue(%q) = %v, want %v", name, got, want)
		}
	}
}

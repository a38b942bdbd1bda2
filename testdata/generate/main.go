// Command generate writes testdata/patients.csv and testdata/patients-crlf.csv: an
// invented patient register with everything that breaks naive CSV programs. Every run
// writes the same bytes.
//
//	go run ./testdata/generate          writes both files
//	go run ./testdata/generate -check   fails if the files differ from what it would write
package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const rows = 2000

var (
	givens = []string{"Anna", "Luc", "Marie-Claude", "Zoé", "José", "Søren", "Łukasz", "Þóra", "Anne-Sophie", "Dvořák",
		"Ольга", "Дмитрий", "Ελένη", "Γιώργος", "محمد", "فاطمة", "שרה", "王芳", "李伟", "さくら", "太郎", "김민준", "अनिता", "Nguyễn Thị", "O’Neil"}
	families = []string{"Muller", "Weber", "Schmit", "Hoffmann", "Da Silva", "Müller-Thill", "D'Amico", "Ångström", "Иванова", "Папа́дов",
		"Παπαδοπούλου", "العربي", "כהן", "张", "高橋", "박", "शर्मा", "Trần", "van den Berg", "Ó Súilleabháin"}
	streets   = []string{"rue de l'Église", "Bd Royal", "Avenue \"Pescatore\"", "Grand-Rue", "Route d'Esch", "op der Knupp"}
	cities    = []string{"Luxembourg", "Esch-sur-Alzette", "Ettelbrück", "Diekirch", "Wiltz", "Grevenmacher"}
	diagnoses = []string{"E11.9", "I10", "J45.909", "F32.1", "M54.5", "Z00.00"}
	notes     = []string{"no further symptoms", "dose reduced to half, see annex B", "patient says: \"better\"", "follow-up in two weeks\nbring lab values",
		"first line\r\nsecond line, with comma", "température 38,5 °C", "–", " leads and trails with blanks "}
)

// verhoeffD and verhoeffP are the multiplication and permutation tables of Verhoeff's
// check digit.
var verhoeffD, verhoeffP = func() (d [10][10]int, p [8][10]int) {
	for i := range 10 {
		for j := range 10 {
			switch {
			case i < 5 && j < 5:
				d[i][j] = (i + j) % 5
			case i < 5:
				d[i][j] = (i+j-5)%5 + 5
			case j < 5:
				d[i][j] = (i-5-j+5)%5 + 5
			default:
				d[i][j] = (i - j + 5) % 5
			}
		}
	}
	base := [10]int{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	for j := range 10 {
		p[0][j] = j
	}
	for i := 1; i < 8; i++ {
		for j := range 10 {
			p[i][j] = p[i-1][base[j]]
		}
	}
	return d, p
}()

// nationalNumber returns a number of 13 digits: date of birth, serial number, and the
// check digits of Luhn and Verhoeff, both over the first eleven digits.
func nationalNumber(born time.Time, serial int) string {
	s := born.Format("20060102") + fmt.Sprintf("%03d", serial)
	sum, c := 0, 0
	for i := range len(s) {
		digit := int(s[len(s)-1-i] - '0')
		c = verhoeffD[c][verhoeffP[(i+1)%8][digit]]
		if i%2 == 0 {
			if digit *= 2; digit > 9 {
				digit -= 9
			}
		}
		sum += digit
	}
	inverse := 0
	for verhoeffD[c][inverse] != 0 {
		inverse++
	}
	return fmt.Sprintf("%s%d%d", s, (10-sum%10)%10, inverse)
}

// field quotes v if necessary or if force is set.
func field(v string, force bool) string {
	if force || strings.ContainsAny(v, ",\"\r\n") {
		return `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
	}
	return v
}

func table(eol string) []byte {
	r := rand.New(rand.NewPCG(2026, 1))
	pick := func(s []string) string { return s[r.IntN(len(s))] }
	var out bytes.Buffer
	out.WriteString("record,national_id,family_name,given_name,birth_date,address,diagnosis,visit_date,referrer_id,note" + eol)
	day := time.Date(1930, 1, 1, 0, 0, 0, 0, time.UTC)
	var ids []string
	for i := 1; i <= rows; i++ {
		born := day.AddDate(0, 0, r.IntN(34000))
		id := nationalNumber(born, r.IntN(1000))
		if len(ids) > 50 && r.IntN(4) == 0 { // another visit of a known patient
			id = pick(ids)
			born, _ = time.Parse("20060102", id[:8])
		}
		ids = append(ids, id)
		if r.IntN(40) == 0 {
			id = ""
		}
		referrer := ""
		if r.IntN(3) == 0 {
			referrer = pick(ids)
		}
		address := fmt.Sprintf("%d, %s\nL-%d %s", 1+r.IntN(200), pick(streets), 1000+r.IntN(8999), pick(cities))
		if r.IntN(2) == 0 {
			address = fmt.Sprintf("L-%d %s", 1000+r.IntN(8999), pick(cities))
		}
		note := ""
		if r.IntN(3) > 0 {
			note = pick(notes)
		}
		cells := []string{
			fmt.Sprint(i), field(id, r.IntN(5) == 0), field(pick(families), r.IntN(4) == 0), field(pick(givens), false),
			born.Format("2006-01-02"), field(address, false), pick(diagnoses), fmt.Sprintf("2025-%02d-%02d", 1+r.IntN(12), 1+r.IntN(28)),
			field(referrer, r.IntN(10) == 0), field(note, r.IntN(9) == 0),
		}
		out.WriteString(strings.Join(cells, ",") + eol)
	}
	return out.Bytes()
}

func main() {
	check := flag.Bool("check", false, "compare instead of writing")
	dir := flag.String("dir", "testdata", "folder of the files")
	flag.Parse()
	for name, eol := range map[string]string{"patients.csv": "\n", "patients-crlf.csv": "\r\n"} {
		path, want := filepath.Join(*dir, name), table(eol)
		if !*check {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			fmt.Fprintf(os.Stderr, "%s is not what the generator writes: run 'make testdata' (%v)\n", path, err)
			os.Exit(1)
		}
	}
}

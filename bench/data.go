package bench

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// Shapes are the kinds of CSV that Data makes:
//
//	narrow  8 columns of text and numbers, no quotes
//	quoted  8 columns, three fields of ten in quotes; some hold delimiters, line
//	        ends and doubled quotes
//	wide    100 columns of numbers of 1 to 4 digits
//	ids     one column of 13-digit identifiers
var Shapes = []string{"narrow", "quoted", "wide", "ids"}

var (
	givenNames = []string{"Anouk", "Bob", "Camille", "Diane", "Emile", "Fabienne", "Georges", "Hélène", "Ivo", "Josy", "Kim", "Laurent", "Mireille", "Norbert", "Odile", "Pit", "Romain", "Simone", "Théo", "Viviane"}
	familyName = []string{"Arend", "Biver", "Colling", "Dupont", "Engel", "Feller", "Goergen", "Heinen", "Jacoby", "Kremer", "Lahure", "Meyers", "Neuman", "Olinger", "Pauly", "Rodrigues", "Scholtes", "Thoma", "Urbany", "Wolff", "Da Costa", "Van der Meer"}
	towns      = []string{"Luxembourg", "Esch-sur-Alzette", "Differdange", "Dudelange", "Ettelbruck", "Diekirch", "Wiltz", "Echternach", "Grevenmacher", "Remich", "Mersch", "Clervaux", "Vianden", "Strassen", "Bettembourg", "Mondorf"}
	states     = []string{"active", "closed", "pending", "new", "blocked", "archived"}
	noteWords  = []string{"patient", "seen", "again", "after", "the", "first", "dose", "no", "fever", "since", "Monday", "values", "in", "range", "follow-up", "planned", "for", "two", "weeks", "see", "letter", "of", "ward", "C"}
)

// Data returns a CSV file of the given shape with a header. The file ends with the row
// that reaches size bytes. Its rows do not repeat, and equal arguments give equal files.
func Data(shape string, size int64, seed uint64) ([]byte, error) {
	g := generator{r: rand.New(rand.NewPCG(seed, 0x76656c6f))}
	var row func(i int)
	switch shape {
	case "narrow":
		g.text("id,name,town,amount,date,state,email,phone\n")
		row = g.narrow
	case "quoted":
		g.text("id,name,town,\"amount\",\"remark, free\",state,address,note\n")
		row = g.quoted
	case "wide":
		for c := range 100 {
			if c > 0 {
				g.text(",")
			}
			g.text("c")
			g.number(c)
		}
		g.text("\n")
		row = g.wide
	case "ids":
		g.text("id\n")
		row = g.id
	default:
		return nil, fmt.Errorf("bench: unknown shape; choose one of %v", Shapes)
	}
	g.b = append(make([]byte, 0, size+4096), g.b...)
	for i := 1; int64(len(g.b)) < size; i++ {
		row(i)
	}
	return g.b, nil
}

// generator appends random rows to b.
type generator struct {
	r *rand.Rand
	b []byte
}

func (g *generator) text(s string) { g.b = append(g.b, s...) }

func (g *generator) number(n int) { g.b = strconv.AppendInt(g.b, int64(n), 10) }

func (g *generator) pick(from []string) string { return from[g.r.IntN(len(from))] }

// digits writes n with leading zeros to width digits.
func (g *generator) digits(n, width int) {
	at := len(g.b) + width
	for range width {
		g.b = append(g.b, '0')
	}
	for ; n > 0; n /= 10 {
		at--
		g.b[at] += byte(n % 10)
	}
}

func (g *generator) money() {
	g.number(g.r.IntN(100000))
	g.text(".")
	g.digits(g.r.IntN(100), 2)
}

// chance returns true with a probability of percent in 100.
func (g *generator) chance(percent int) bool { return g.r.IntN(100) < percent }

func (g *generator) narrow(i int) {
	given, family := g.pick(givenNames), g.pick(familyName)
	g.number(i)
	g.text(",")
	g.text(given)
	g.text(" ")
	g.text(family)
	g.text(",")
	g.text(g.pick(towns))
	g.text(",")
	g.money()
	g.text(",20")
	g.digits(g.r.IntN(26), 2)
	g.text("-")
	g.digits(1+g.r.IntN(12), 2)
	g.text("-")
	g.digits(1+g.r.IntN(28), 2)
	g.text(",")
	g.text(g.pick(states))
	g.text(",")
	g.b = append(g.b, given[0]|32, '.', family[0]|32)
	g.number(g.r.IntN(10000))
	g.text("@mail.example,+352")
	g.digits(g.r.IntN(1000000000), 9)
	g.text("\n")
}

func (g *generator) quoted(i int) {
	g.number(i)
	g.text(",")
	if g.chance(30) {
		g.text(`"`)
		g.text(g.pick(familyName))
		g.text(", ")
		g.text(g.pick(givenNames))
		g.text(`",`)
	} else {
		g.text(g.pick(givenNames))
		g.text(" ")
		g.text(g.pick(familyName))
		g.text(",")
	}
	g.maybeQuoted(10, g.pick(towns))
	if g.chance(30) {
		g.text(`"`)
		g.number(1 + g.r.IntN(99))
		g.text(",")
		g.digits(g.r.IntN(1000), 3)
		g.text(`.50",`)
	} else {
		g.money()
		g.text(",")
	}
	if g.chance(70) {
		g.remark()
	} else {
		g.text(g.pick(noteWords))
		g.text(" ")
		g.text(g.pick(noteWords))
	}
	g.text(",")
	g.maybeQuoted(20, g.pick(states))
	if g.chance(60) {
		g.text(`"`)
		g.number(1 + g.r.IntN(200))
		g.text(", rue ")
		g.text(g.pick(familyName))
		g.text(", L-")
		g.number(1000 + g.r.IntN(9000))
		g.text(" ")
		g.text(g.pick(towns))
		g.text(`",`)
	} else {
		g.text("L-")
		g.number(1000 + g.r.IntN(9000))
		g.text(" ")
		g.text(g.pick(towns))
		g.text(",")
	}
	switch n := g.r.IntN(10); {
	case n == 0:
		g.text(`""`)
	case n == 1:
		g.text(`"`)
		g.text(g.pick(noteWords))
		g.text(` ""`)
		g.text(g.pick(noteWords))
		g.text(`"" `)
		g.text(g.pick(noteWords))
		g.text(`"`)
	case n > 4:
		g.text(g.pick(noteWords))
	}
	g.text("\n")
}

// maybeQuoted writes s, quoted with a probability of percent in 100, and a delimiter.
func (g *generator) maybeQuoted(percent int, s string) {
	quote := ""
	if g.chance(percent) {
		quote = `"`
	}
	g.text(quote)
	g.text(s)
	g.text(quote)
	g.text(",")
}

// remark writes a quoted sentence that may contain delimiters, quotes and line ends.
func (g *generator) remark() {
	g.text(`"`)
	words := 3 + g.r.IntN(14)
	for w := range words {
		if w > 0 {
			g.text(" ")
		}
		switch n := g.r.IntN(40); {
		case n < 2:
			g.text(`""`)
			g.text(g.pick(noteWords))
			g.text(`""`)
			continue
		case n < 4:
			g.text(g.pick(noteWords))
			g.text(",")
			continue
		case n == 4:
			g.text("\n")
		case n == 5 && g.chance(25):
			g.text("\r\n")
		}
		g.text(g.pick(noteWords))
	}
	g.text(`"`)
}

func (g *generator) wide(int) {
	below := [4]int{10, 100, 1000, 10000}
	for c := range 100 {
		if c > 0 {
			g.text(",")
		}
		g.number(g.r.IntN(below[g.r.IntN(4)]))
	}
	g.text("\n")
}

func (g *generator) id(int) {
	g.digits(g.r.IntN(10000000000000), 13)
	g.text("\n")
}

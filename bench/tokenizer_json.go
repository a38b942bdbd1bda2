package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/velonym/velonym/csvfast/jsonfast"

	"github.com/velonym/velonym/internal/simd"
)

// tokenizerJSON measures the JSON scanners against encoding/json: the strings of a
// request body, and one path in JSON lines.
func tokenizerJSON(ctx context.Context, o Options) ([]Row, error) {
	size := o.Size
	if size == 0 {
		size = 64 << 20
		if o.Quick {
			size = 1 << 20
		}
	}
	rows, err := tokenizerBody(o, "JSON ids", stringsBody(size, 0), 25, 60)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// There are no goals for the remaining two.
	more, err := tokenizerBody(o, "JSON, one string of ten escaped or beyond ASCII", stringsBody(size, 10), 0, 0)
	if err != nil {
		return nil, err
	}
	rows = append(rows, more...)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	more, err = tokenizerLines(o, recordLines(size))
	return append(rows, more...), err
}

// stringsBody returns {"data":["…",…]} with strings of 13 digits. odd percent of them
// have escapes or characters beyond ASCII instead.
func stringsBody(size int64, odd int) []byte {
	g := newGenerator(size, 11)
	g.text(`{"data":[`)
	for i := 0; int64(len(g.b)) < size; i++ {
		if i > 0 {
			g.text(",")
		}
		g.text(`"`)
		switch {
		case !g.chance(odd):
			g.digits(g.r.IntN(1e13), 13)
		case g.chance(25):
			g.text(`M\u00fcller \"`)
			g.text(g.pick(givenNames))
			g.text(`\"`)
		case g.chance(33):
			g.text(`a\\b\/c\n`)
		case g.chance(50):
			g.text("Zoé Müller 東京")
		default:
			g.text(`\ud83d\ude00 id`)
		}
		g.text(`"`)
	}
	g.text(`]}`)
	return g.b
}

// recordLines returns JSON lines of about 200 bytes with an identifier at patient.id.
func recordLines(size int64) []byte {
	g := newGenerator(size, 12)
	for i := 0; int64(len(g.b)) < size; i++ {
		g.text(`{"case":`)
		g.number(i)
		g.text(`,"patient":{"id":"`)
		g.digits(g.r.IntN(1e13), 13)
		g.text(`","name":"`)
		g.text(g.pick(givenNames))
		g.text(` `)
		g.text(g.pick(familyName))
		g.text(`","town":"`)
		g.text(g.pick(towns))
		g.text(`"},"seen":"20`)
		g.digits(g.r.IntN(26), 2)
		g.text(`-`)
		g.digits(1+g.r.IntN(12), 2)
		g.text(`","state":"`)
		g.text(g.pick(states))
		g.text(`","cost":`)
		g.money()
		g.text(`,"insured":`)
		g.text([]string{"true", "true", "true", "false"}[g.r.IntN(4)])
		g.text(`,"remark":"`)
		for range 5 + g.r.IntN(4) {
			g.text(g.pick(noteWords))
			g.text(` `)
		}
		g.text("\"}\n")
	}
	return g.b
}

// newGenerator returns a generator with a buffer for size bytes and a last row.
func newGenerator(size int64, seed uint64) *generator {
	return &generator{r: rand.New(rand.NewPCG(seed, 0x76656c6f)), b: make([]byte, 0, size+4096)}
}

// visitBody scans body and unescapes every string. It returns their total size and, if
// list is not nil, whether they equal the elements of list.
func visitBody(a *jsonfast.Array, body, scratch []byte, list []string) (total int, same bool, err error) {
	if err := a.Scan(body); err != nil {
		return 0, false, err
	}
	same = list == nil || len(list) == len(a.Spans)/2
	next, escaped := len(a.Spans), a.Escaped
	if len(escaped) > 0 {
		next, escaped = 2*int(escaped[0]), escaped[1:]
	}
	for i := 0; i < len(a.Spans); i += 2 {
		v := body[a.Spans[i] : a.Spans[i]+a.Spans[i+1]]
		if i == next {
			v = jsonfast.Unescape(scratch[:0], v)
			if len(escaped) > 0 {
				next, escaped = 2*int(escaped[0]), escaped[1:]
			}
		}
		if list != nil && same {
			same = string(v) == list[i/2]
		}
		total += len(v)
	}
	return total, same, nil
}

// tokenizerBody measures a body of strings with every kernel.
func tokenizerBody(o Options, name string, body []byte, must, aim float64) ([]Row, error) {
	o.logf("tokenizer: %s", name)
	best := simd.Kernel()
	kernels := simd.Kernels()
	array := body[len(`{"data":`) : len(body)-1]
	var list []string
	if err := json.Unmarshal(array, &list); err != nil {
		return nil, err
	}
	scanner := new(jsonfast.Array)
	scratch := make([]byte, 0, 4096)
	total := 0
	for _, kernel := range kernels {
		if err := simd.Force(kernel); err != nil {
			return nil, err
		}
		n, same, err := visitBody(scanner, body, scratch, list)
		if err != nil {
			return nil, err
		}
		if !same {
			return nil, fmt.Errorf("bench: %s: kernel %s does not find the strings that encoding/json finds", name, kernel)
		}
		total = n
	}
	cases := []Case{
		{Name: name + ": encoding/json", Amount: float64(len(body)), Run: func() error { return json.Unmarshal(array, &list) }},
	}
	for _, kernel := range kernels {
		cases = append(cases, Case{Name: name + ", strict, " + kernel, Amount: float64(len(body)), Run: func() error {
			if err := simd.Force(kernel); err != nil {
				return err
			}
			n, _, err := visitBody(scanner, body, scratch, nil)
			if err != nil {
				return err
			}
			if n != total {
				return fmt.Errorf("bench: %s: the answer changed", name)
			}
			return nil
		}})
	}
	return tokenizerRows(o, cases, best, must, aim)
}

// tokenizerLines measures one path in JSON lines with every kernel. Both contenders are
// defined in this function to show what is compared.
func tokenizerLines(o Options, lines []byte) ([]Row, error) {
	const name = "JSON lines, one path"
	o.logf("tokenizer: %s", name)
	best := simd.Kernel()
	kernels := simd.Kernels()
	finder, err := jsonfast.NewPathFinder([]string{"patient.id"})
	if err != nil {
		return nil, err
	}
	plain := func(each func(id string)) error {
		for rest := lines; len(rest) > 0; {
			end := bytes.IndexByte(rest, '\n')
			var record struct {
				Patient struct{ ID string }
			}
			if err := json.Unmarshal(rest[:end], &record); err != nil {
				return err
			}
			each(record.Patient.ID)
			rest = rest[end+1:]
		}
		return nil
	}
	var ids []string
	if err := plain(func(id string) { ids = append(ids, id) }); err != nil {
		return nil, err
	}
	// A run also scans pieces of whole lines.
	const piece = 256 << 10
	fast := func(each func(v []byte)) error {
		for rest := lines; len(rest) > 0; {
			n := bytes.LastIndexByte(rest[:min(piece, len(rest))], '\n') + 1
			if err := finder.Scan(rest[:n]); err != nil {
				return err
			}
			for i := 0; i < len(finder.Spans); i += 2 {
				each(rest[finder.Spans[i] : finder.Spans[i]+finder.Spans[i+1]])
			}
			rest = rest[n:]
		}
		return nil
	}
	for _, kernel := range kernels {
		if err := simd.Force(kernel); err != nil {
			return nil, err
		}
		k, same := 0, true
		if err := fast(func(v []byte) {
			same = same && k < len(ids) && string(v) == ids[k]
			k++
		}); err != nil {
			return nil, err
		}
		if !same || k != len(ids) {
			return nil, fmt.Errorf("bench: %s: kernel %s does not find the strings that encoding/json finds", name, kernel)
		}
	}
	cases := []Case{{Name: name + ": encoding/json", Amount: float64(len(lines)), Run: func() error {
		return plain(func(string) {})
	}}}
	for _, kernel := range kernels {
		cases = append(cases, Case{Name: name + ", strict, " + kernel, Amount: float64(len(lines)), Run: func() error {
			if err := simd.Force(kernel); err != nil {
				return err
			}
			n := 0
			if err := fast(func([]byte) { n++ }); err != nil {
				return err
			}
			if n != len(ids) {
				return fmt.Errorf("bench: %s: the answer changed", name)
			}
			return nil
		}})
	}
	rows, err := tokenizerRows(o, cases, best, 0, 0)
	for i := range rows {
		rows[i].Note = fmt.Sprintf("%d bytes a line", len(lines)/len(ids))
	}
	return rows, err
}

// tokenizerRows runs the cases, of which the first is encoding/json and the others are
// one per kernel, and sets the goals for the best kernel.
func tokenizerRows(o Options, cases []Case, best string, must, aim float64) ([]Row, error) {
	stats, err := Interleave(o.rounds(), cases)
	if err != nil {
		return nil, err
	}
	if err := simd.Force(best); err != nil {
		return nil, err
	}
	rows := []Row{Plain(stats[0], "GB/s", 1e9)}
	for i, s := range stats[1:] {
		m, a := 0.0, 0.0
		if simd.Kernels()[i] == best {
			m, a = must, aim
		}
		rows = append(rows, Against(s, stats[0], "GB/s", 1e9, m, a))
	}
	return rows, nil
}

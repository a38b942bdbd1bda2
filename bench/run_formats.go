package bench

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/velonym/velonym/engine/spec"
)

// ndjson measures one path in lines of about 200 bytes.
func (b *runBench) ndjson(s *Section) error {
	b.o.logf("run: NDJSON")
	r := rand.New(rand.NewPCG(6, 1))
	f, err := os.Create(b.path("in.ndjson"))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	rows, size := 0, int64(0)
	for size < b.size()/2 {
		n, _ := fmt.Fprintf(w, `{"record":%d,"patient":{"id":"%013d","name":"%s %s","town":"%s"},"visit":{"date":"2025-%02d-%02d","codes":["E%d","I%d"],"amount":%d.5},"note":"seen, \"again\" after the first dose"}`+"\n",
			rows, r.Int64N(1e13), givenNames[r.IntN(len(givenNames))], familyName[r.IntN(len(familyName))], towns[r.IntN(len(towns))],
			1+r.IntN(12), 1+r.IntN(28), r.IntN(100), r.IntN(100), r.IntN(1000))
		size += int64(n)
		rows++
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	forward, err := b.plan(spec.Pseudonymise)
	if err != nil {
		return err
	}
	reverse, err := b.plan(spec.Reverse)
	if err != nil {
		return err
	}
	std, err := newBlockCipher()
	if err != nil {
		return err
	}
	cases := []Case{
		{Name: "NDJSON", Amount: float64(rows), Ready: b.removeOutput("out.ndjson"), Run: b.job("in.ndjson", "out.ndjson", "patient.id", forward, 1)},
		{Name: "NDJSON, encoding/json", Amount: float64(rows), Ready: b.removeOutput("std.ndjson"), Run: b.peer("in.ndjson", "std.ndjson", func(w io.Writer, r io.Reader) error { return stdJSON(w, r, std) })},
		{Name: "NDJSON, copy", Amount: float64(rows), Ready: b.removeOutput("copy.ndjson"), Run: b.peer("in.ndjson", "copy.ndjson", copyFile)},
	}
	for _, c := range cases {
		if err := c.Run(); err != nil {
			return err
		}
	}
	if err := b.job("out.ndjson", "back.ndjson", "patient.id", reverse, 1)(); err != nil {
		return err
	}
	if err := b.compare("in.ndjson", "back.ndjson"); err != nil {
		return err
	}
	if err := b.checkLines("in.ndjson", "std.ndjson"); err != nil {
		return err
	}
	st, err := Interleave(b.o.rounds(), cases)
	if err != nil {
		return err
	}
	const unit = "M lines/s"
	s.Rows = append(s.Rows, Against(st[0], st[1], unit, 1e6, 15, 40), Against(st[0], st[2], unit, 1e6, 0, 0), Plain(st[1], unit, 1e6), Plain(st[2], unit, 1e6))
	return nil
}

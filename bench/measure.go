// Package bench measures Velonym against peers and rooflines on the machine it
// runs on. Every figure is a median of rounds in which all contenders run in
// turn, so that a ratio holds when the machine's speed drifts; absolute rates
// are printed beside the ratios for orientation only.
package bench

import (
	"fmt"
	"io"
	"runtime"
	"sort"
	"strings"
	"time"
)

// Options are what every benchmark takes. The zero value gives full-size runs.
type Options struct {
	Rounds int       // rounds in which all contenders run once; 0: 7
	Size   int64     // bytes of generated input where a benchmark has one; 0: its own default
	Quick  bool      // small inputs and few rounds: a check that the benchmark works, no figures to quote
	Out    io.Writer // progress lines; nil: none
}

// rounds returns the number of rounds that o asks for.
func (o Options) rounds() int {
	switch {
	case o.Rounds > 0:
		return o.Rounds
	case o.Quick:
		return 3
	}
	return 7
}

// logf writes a progress line.
func (o Options) logf(format string, args ...any) {
	if o.Out != nil {
		fmt.Fprintf(o.Out, format+"\n", args...)
	}
}

// Case is one contender: Run does Amount units of work (bytes, values) a call.
type Case struct {
	Name   string
	Amount float64
	Run    func() error
	Ready  func() error // before every Run, outside the clock; may be nil
}

// Stat is what a contender reached, in units a second. Rates holds one rate a
// round, in the order of the rounds, so that two contenders can be paired.
type Stat struct {
	Name             string
	Median, Min, Max float64
	Rates            []float64
}

// Interleave runs the cases in turn, A B C A B C …, for the given number of
// rounds after one warm-up round. A case that takes under 20 ms is repeated
// within its turn until it has run that long. The collector runs before each
// turn, outside the clock.
func Interleave(rounds int, cases []Case) ([]Stat, error) {
	const turn = 20 * time.Millisecond
	stats := make([]Stat, len(cases))
	for r := -1; r < rounds; r++ {
		for i, c := range cases {
			runtime.GC()
			calls := 0
			var took time.Duration
			for took < turn {
				if c.Ready != nil {
					if err := c.Ready(); err != nil {
						return nil, fmt.Errorf("bench: %s: %w", c.Name, err)
					}
				}
				begin := time.Now()
				if err := c.Run(); err != nil {
					return nil, fmt.Errorf("bench: %s: %w", c.Name, err)
				}
				calls++
				took += time.Since(begin)
			}
			if r >= 0 {
				stats[i].Rates = append(stats[i].Rates, c.Amount*float64(calls)/took.Seconds())
			}
		}
	}
	for i := range stats {
		stats[i].Name = cases[i].Name
		sorted := append([]float64(nil), stats[i].Rates...)
		sort.Float64s(sorted)
		stats[i].Min, stats[i].Median, stats[i].Max = sorted[0], median(sorted), sorted[len(sorted)-1]
	}
	return stats, nil
}

// Ratio is the median over the rounds of a's rate divided by b's.
func Ratio(a, b Stat) float64 {
	q := make([]float64, min(len(a.Rates), len(b.Rates)))
	for i := range q {
		q[i] = a.Rates[i] / b.Rates[i]
	}
	sort.Float64s(q)
	return median(q)
}

// median returns the middle of a sorted slice.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Row is one line of a result table. Ratio, Must and Aim are multiples of (or
// shares of) the contender named in Against; zero where there is none.
type Row struct {
	Name, Unit       string
	Median, Min, Max float64
	Against          string  `json:",omitempty"`
	Ratio            float64 `json:",omitempty"`
	Must             float64 `json:",omitempty"`
	Aim              float64 `json:",omitempty"`
	Note             string  `json:",omitempty"`
}

// Section is the result of one benchmark.
type Section struct {
	Name    string // engine, tokenizer, run, http
	Title   string
	Command string // what a reader types to get these figures again
	Notes   []string
	Rows    []Row
	Machine Machine // filled in when the section is saved
}

// Against makes a row of a measured against b.
func Against(a, b Stat, unit string, scale, must, aim float64) Row {
	return Row{Name: a.Name, Unit: unit, Median: a.Median / scale, Min: a.Min / scale, Max: a.Max / scale,
		Against: b.Name, Ratio: Ratio(a, b), Must: must, Aim: aim}
}

// Plain makes a row of a alone.
func Plain(a Stat, unit string, scale float64) Row {
	return Row{Name: a.Name, Unit: unit, Median: a.Median / scale, Min: a.Min / scale, Max: a.Max / scale}
}

// Markdown writes the section as a table.
func (s *Section) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n`%s`\n\n", s.Title, s.Command)
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "%s\n\n", n)
	}
	b.WriteString("| what | median | min … max | against | ratio | floor | aim | |\n|---|--:|--:|---|--:|--:|--:|---|\n")
	for _, r := range s.Rows {
		fmt.Fprintf(&b, "| %s | %s %s | %s … %s | %s | %s | %s | %s | %s |\n", r.Name, figure(r.Median), r.Unit,
			figure(r.Min), figure(r.Max), r.Against, multiple(r.Ratio), multiple(r.Must), multiple(r.Aim), r.Note)
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// figure prints a rate with three significant digits.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// multiple prints a ratio, or nothing for none.
func multiple(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f ×", v)
}

// Package bench measures Velonym against other programs and against hardware limits on
// the current machine. Every figure is a median over rounds. In each round every
// contender runs once, so that ratios are valid even if the machine's speed drifts.
// Absolute rates are printed for orientation.
package bench

import (
	"fmt"
	"io"
	"runtime"
	"sort"
	"strings"
	"time"
)

// Options are the options of every benchmark. The zero value gives full-size runs.
type Options struct {
	Rounds int       // number of rounds; 0: 7
	Size   int64     // bytes of generated input, if the benchmark has one; 0: the benchmark's default
	Quick  bool      // small inputs and few rounds, to check that the benchmark works
	Out    io.Writer // progress lines; nil: none
}

// rounds returns the number of rounds.
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

// Case is a contender. A call of Run does Amount units of work (bytes or values).
type Case struct {
	Name   string
	Amount float64
	Run    func() error
	Ready  func() error // called before every Run, not timed; may be nil
}

// Stat holds the rates of a contender in units per second. Rates has one element per
// round, so that [Ratio] can pair the rounds of two contenders.
type Stat struct {
	Name             string
	Median, Min, Max float64
	Rates            []float64
}

// Interleave runs the cases in the order A B C A B C … for the given number of rounds,
// after a warm-up round. Within a round it repeats a case until it has run for 20 ms. The
// garbage collector runs before each case and is not timed.
func Interleave(rounds int, cases []Case) ([]Stat, error) {
	const period = 20 * time.Millisecond
	stats := make([]Stat, len(cases))
	for r := -1; r < rounds; r++ {
		for i, c := range cases {
			runtime.GC()
			calls := 0
			var took time.Duration
			for took < period {
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

// Ratio returns the median over the rounds of a's rate divided by b's.
func Ratio(a, b Stat) float64 {
	q := make([]float64, min(len(a.Rates), len(b.Rates)))
	for i := range q {
		q[i] = a.Rates[i] / b.Rates[i]
	}
	sort.Float64s(q)
	return median(q)
}

// median returns the median of a sorted slice, or 0 if it is empty.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Row is a line of a result table. Ratio, Must and Aim are multiples of the rate of the
// contender named in Against; 0 means none.
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
	Command string // reproduces the figures
	Notes   []string
	Rows    []Row
	Machine Machine // set by Save
}

// Against returns a row that compares a with b.
func Against(a, b Stat, unit string, scale, must, aim float64) Row {
	return Row{Name: a.Name, Unit: unit, Median: a.Median / scale, Min: a.Min / scale, Max: a.Max / scale,
		Against: b.Name, Ratio: Ratio(a, b), Must: must, Aim: aim}
}

// Plain returns a row of a without a comparison.
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

// figure formats a rate with about three significant digits.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// multiple formats a ratio; 0 gives an empty string.
func multiple(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f ×", v)
}

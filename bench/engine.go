package bench

import (
	"bytes"
	"context"
	stdaes "crypto/aes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/velonym/velonym/engine/kernel/aes"
	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/simd"
)

// engineBatch is the number of values in a batch; such a batch fits into the cache.
const engineBatch = 1024

// Engine measures transforms of batches of 1,024 values in the cache on one core. It
// compares most of them with the CPU's raw AES-256 block rate in the same tier, and the
// others with the program named in their rows. It checks every contender's result before
// timing it. On return the best kernels are in use.
func Engine(ctx context.Context, o Options) (*Section, error) {
	defer simd.Force("auto")
	e := &engineBench{r: rand.New(rand.NewPCG(20, 26)), best: simd.Kernels()[0]}
	defer e.close()
	if err := e.open(); err != nil {
		return nil, err
	}
	s := &Section{
		Name:    "engine",
		Title:   "Transforms",
		Command: "velonym bench engine",
		Notes: []string{fmt.Sprintf("One core, batches of %d values in the cache, result rows ended by a line feed, `pair62` where not said otherwise. "+
			"Raw AES is AES-256 over whole blocks in the cache and nothing else; ratios to it are shares. All contenders take turns in every round.", engineBatch)},
	}
	for _, part := range []func(context.Context, Options, *Section) error{e.shares, e.portable, e.hashes, e.digits, e.allocations, e.workers} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := part(ctx, o, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// engineBench holds the state that the parts of the benchmark share.
type engineBench struct {
	r      *rand.Rand
	best   string // the best tier
	keys   [2]*suite.Keys
	plans  []*suite.Plan
	blocks *aes.Raw
}

func (e *engineBench) open() (err error) {
	var secret [2][32]byte
	for i := range secret {
		secmem.Random(secret[i][:])
		if e.keys[i], err = suite.NewKeys(fmt.Sprint("bench", i), "", []suite.Secret{{Gen: 0, Active: true, S: secret[i]}}); err != nil {
			return err
		}
	}
	e.blocks, err = aes.NewRaw(&secret[0])
	return err
}

func (e *engineBench) close() {
	for _, p := range e.plans {
		p.Close()
	}
	for _, k := range e.keys {
		if k != nil {
			k.Release()
		}
	}
	if e.blocks != nil {
		e.blocks.Release()
	}
}

// plan returns a plan of the first domain, which close closes.
func (e *engineBench) plan(op spec.Op, s suite.Spec) (*suite.Plan, error) {
	p, err := suite.NewPlan(op, s, e.keys[0])
	if err == nil {
		e.plans = append(e.plans, p)
	}
	return p, err
}

// values returns n random values of least to most characters of an alphabet.
func (e *engineBench) values(n, least, most int, alphabet string) (src []byte, spans []uint32) {
	for range n {
		l := least + e.r.IntN(most-least+1)
		spans = append(spans, uint32(len(src)), uint32(l))
		for range l {
			src = append(src, alphabet[e.r.IntN(len(alphabet))])
		}
	}
	return append(make([]byte, 0, len(src)+64), src...), spans
}

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
)

// engineJob applies a plan to a batch in one tier.
type engineJob struct {
	name, tier string
	plan       *suite.Plan
	b          *suite.Batch
}

func newEngineJob(name, tier string, p *suite.Plan, src []byte, spans []uint32) *engineJob {
	return &engineJob{name: name, tier: tier, plan: p, b: &suite.Batch{Src: src, Spans: spans, Post: "\n"}}
}

// run executes the job once.
func (j *engineJob) run() error {
	if err := simd.Force(j.tier); err != nil {
		return err
	}
	j.b.Dst = j.b.Dst[:0]
	j.plan.Transform(j.b)
	return nil
}

// verify runs the job in its tier and in the portable one and compares the results.
func (j *engineJob) verify() error {
	tier := j.tier
	defer func() { j.tier = tier }()
	j.tier = "generic"
	if err := j.run(); err != nil {
		return err
	}
	want := bytes.Clone(j.b.Dst)
	j.tier = tier
	if err := j.run(); err != nil {
		return err
	}
	if len(j.b.Bad) > 0 || len(want) == 0 || !bytes.Equal(j.b.Dst, want) {
		return fmt.Errorf("bench: %s: the %s kernels give another result than the portable code", j.name, tier)
	}
	return nil
}

// repeats is how often a contender transforms its batch in a call: often enough to hide
// the state in which the previous contender and the garbage collector left the caches.
const repeats = 64

// timed returns the job as a contender.
func (j *engineJob) timed() Case {
	return Case{Name: j.name, Amount: float64(repeats * len(j.b.Spans) / 2), Run: func() error {
		for range repeats {
			if err := j.run(); err != nil {
				return err
			}
		}
		return nil
	}}
}

// raw returns a contender that encrypts as many blocks as a batch has values.
func (e *engineBench) raw(tier string) Case {
	data := make([]byte, 16*engineBatch)
	return Case{Name: "raw AES-256 blocks, " + tier, Amount: repeats * engineBatch, Run: func() error {
		if err := simd.Force(tier); err != nil {
			return err
		}
		for range repeats {
			e.blocks.Encrypt(data)
		}
		return nil
	}}
}

// shares measures the transforms that are built on AES against raw AES. Jobs and rows
// are in one function because they have the same order.
func (e *engineBench) shares(_ context.Context, o Options, s *Section) error {
	same := suite.Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1}
	forward, err := e.plan(spec.Pseudonymise, same)
	if err != nil {
		return err
	}
	reverse, err := e.plan(spec.Reverse, same)
	if err != nil {
		return err
	}
	second, err := suite.NewSecondary(same, e.keys[0], same, e.keys[1])
	if err != nil {
		return err
	}
	e.plans = append(e.plans, second)

	type row struct {
		j         *engineJob
		must, aim float64
	}
	var rows []row
	tiers := map[string]bool{}
	add := func(j *engineJob, must, aim float64) error {
		tiers[j.tier] = true
		rows = append(rows, row{j, must, aim})
		return j.verify()
	}
	short, shortSpans := e.values(engineBatch, 8, 15, letters)
	for _, tier := range simd.Kernels() {
		must, aim := 0.3, 0.45
		switch tier {
		case "avx512":
			must, aim = 0.35, 0.55
		case "generic":
			continue
		}
		if err := add(newEngineJob("forward, one block, "+tier, tier, forward, short, shortSpans), must, aim); err != nil {
			return err
		}
	}
	if e.best != "generic" {
		f := newEngineJob("", e.best, forward, short, shortSpans)
		if err := f.run(); err != nil {
			return err
		}
		pseudonyms, out := bytes.Clone(f.b.Dst), slices.Clone(f.b.Out)
		back := newEngineJob("reverse, one block", e.best, reverse, pseudonyms, out)
		if err := add(back, 0.3, 0.5); err != nil {
			return err
		}
		for i := range engineBatch {
			got := back.b.Dst[back.b.Out[2*i]:][:back.b.Out[2*i+1]]
			if want := short[shortSpans[2*i]:][:shortSpans[2*i+1]]; !bytes.Equal(got, want) {
				return errors.New("bench: reverse does not give the values back")
			}
		}
		if err := add(newEngineJob("secondary, one block", e.best, second, pseudonyms, out), 0.18, 0.3); err != nil {
			return err
		}
		for _, c := range []struct {
			blocks    int
			must, aim float64
		}{{2, 0.12, 0.2}, {4, 0.06, 0.1}} {
			src, spans := e.values(engineBatch, 16*(c.blocks-1), 16*c.blocks-1, letters)
			if err := add(newEngineJob(fmt.Sprintf("forward, %d blocks", c.blocks), e.best, forward, src, spans), c.must, c.aim); err != nil {
				return err
			}
		}
		src, spans := e.values(engineBatch, 16, 200, letters)
		if err := add(newEngineJob("forward, mixed 16 to 200 bytes", e.best, forward, src, spans), 0, 0); err != nil {
			return err
		}
	}
	var cases []Case
	raw := map[string]int{}
	for _, tier := range simd.Kernels() {
		if tiers[tier] {
			raw[tier] = len(cases)
			cases = append(cases, e.raw(tier))
		}
	}
	first := len(cases)
	for _, r := range rows {
		cases = append(cases, r.j.timed())
	}
	stats, err := Interleave(o.rounds(), cases)
	if err != nil {
		return err
	}
	for _, st := range stats[:first] {
		s.Rows = append(s.Rows, Plain(st, "M/s", 1e6))
	}
	for i, r := range rows {
		s.Rows = append(s.Rows, Against(stats[first+i], stats[raw[r.j.tier]], "M values/s", 1e6, r.must, r.aim))
	}
	return nil
}

// portable measures the generic tier against a straightforward program that calls
// crypto/aes once per value and encodes bytes through a table of character pairs.
func (e *engineBench) portable(_ context.Context, o Options, s *Section) error {
	forward := e.plans[0]
	src, spans := e.values(engineBatch, 8, 15, letters)
	j := newEngineJob("forward, one block, generic", "generic", forward, src, spans)
	if err := j.verify(); err != nil {
		return err
	}
	var key [32]byte
	secmem.Random(key[:])
	block, err := stdaes.NewCipher(key[:])
	if err != nil {
		return err
	}
	p := &plainAES{block: block, pairs: pairTable()}
	p.rows(src, spans)
	for i := range engineBatch {
		var m [16]byte
		if _, err := decodePairs(&m, p.dst[33*i:33*i+32]); err != nil {
			return err
		}
		block.Decrypt(m[:], m[:])
		v := src[spans[2*i]:][:spans[2*i+1]]
		if !bytes.Equal(m[:len(v)], v) || int(m[15]) != 16-len(v) {
			return errors.New("bench: the plain program does not work")
		}
	}
	stats, err := Interleave(o.rounds(), []Case{j.timed(), {Name: "one crypto/aes call a value", Amount: repeats * engineBatch, Run: func() error {
		for range repeats {
			p.rows(src, spans)
		}
		return nil
	}}})
	if err != nil {
		return err
	}
	s.Rows = append(s.Rows, Against(stats[0], stats[1], "M values/s", 1e6, 0.9, 1.2))
	return nil
}

// hashes measures irreversible pseudonyms against crypto/hmac.
func (e *engineBench) hashes(_ context.Context, o Options, s *Section) error {
	p, err := e.plan(spec.Pseudonymise, suite.Spec{Method: spec.Irreversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1})
	if err != nil {
		return err
	}
	src, spans := e.values(engineBatch, 8, 15, letters)
	key := make([]byte, 32)
	peer := &plainHMAC{h: hmac.New(sha256.New, key)}
	peer.sums(src, spans)
	h := hmac.New(sha256.New, key)
	h.Write(src[spans[0]:][:spans[1]])
	if !bytes.Equal(peer.dst[:16], h.Sum(nil)[:16]) {
		return errors.New("bench: crypto/hmac with Reset does not work")
	}
	var jobs []*engineJob
	cases := []Case{{Name: "crypto/hmac with Reset", Amount: repeats * engineBatch, Run: func() error {
		for range repeats {
			peer.sums(src, spans)
		}
		return nil
	}}}
	for _, tier := range simd.Kernels() {
		j := newEngineJob("HMAC-SHA-256, "+tier, tier, p, src, spans)
		if err := j.verify(); err != nil {
			return err
		}
		jobs = append(jobs, j)
		cases = append(cases, j.timed())
	}
	stats, err := Interleave(o.rounds(), cases)
	if err != nil {
		return err
	}
	for i, j := range jobs {
		must, aim := 0.0, 0.0
		if j.tier == e.best && e.best != "generic" {
			must, aim = 3, 5
		}
		s.Rows = append(s.Rows, Against(stats[1+i], stats[0], "M values/s", 1e6, must, aim))
	}
	return nil
}

// digits measures FF1 against its portable twin.
func (e *engineBench) digits(_ context.Context, o Options, s *Section) error {
	for _, c := range []struct {
		alphabet    string
		least, most int
		must, aim   float64
	}{
		{digits, 10, 10, 8, 20}, {digits, 16, 16, 8, 20}, {digits, 10, 16, 8, 20}, {digits, 24, 24, 0, 0},
		{letters[:62], 12, 12, 0, 0}, {digits, 40, 40, 0, 0},
	} {
		f, err := spec.ParseForm("fpe:" + c.alphabet)
		if err != nil {
			return err
		}
		p, err := e.plan(spec.Pseudonymise, suite.Spec{Method: spec.Reversible, Policy: spec.Same, Form: f, Gen: -1})
		if err != nil {
			return err
		}
		src, spans := e.values(engineBatch, c.least, c.most, c.alphabet)
		name := fmt.Sprintf("FF1, radix %d, %d characters", len(c.alphabet), c.least)
		if c.most > c.least {
			name = fmt.Sprintf("FF1, radix %d, %d to %d characters", len(c.alphabet), c.least, c.most)
		}
		twin := newEngineJob(name+", generic", "generic", p, src, spans)
		if err := twin.verify(); err != nil {
			return err
		}
		cases := []Case{twin.timed()}
		for _, tier := range simd.Kernels() {
			if tier == "generic" {
				continue
			}
			j := newEngineJob(name+", "+tier, tier, p, src, spans)
			if err := j.verify(); err != nil {
				return err
			}
			cases = append(cases, j.timed())
		}
		stats, err := Interleave(o.rounds(), cases)
		if err != nil {
			return err
		}
		for i, st := range stats[1:] {
			must, aim := 0.0, 0.0
			if i == 0 {
				must, aim = c.must, c.aim
			}
			s.Rows = append(s.Rows, Against(st, stats[0], "M values/s", 1e6, must, aim))
		}
	}
	return nil
}

// allocations counts the heap allocations per value over all plans opened so far.
func (e *engineBench) allocations(_ context.Context, _ Options, s *Section) error {
	if err := simd.Force("auto"); err != nil {
		return err
	}
	src, spans := e.values(engineBatch, 10, 15, digits) // all plans but reverse and secondary take these
	for _, p := range e.plans {
		j := newEngineJob("", e.best, p, src, spans)
		for range 3 {
			if err := j.run(); err != nil {
				return err
			}
		}
		const rounds = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			if err := j.run(); err != nil {
				return err
			}
		}
		runtime.ReadMemStats(&after)
		// A garbage collection in between may empty the pools, which costs a few
		// allocations in total, but not one per value.
		if a := float64(after.Mallocs-before.Mallocs) / (rounds * engineBatch); a > 0.001 {
			return fmt.Errorf("bench: %.3f allocations a value", a)
		}
	}
	s.Rows = append(s.Rows, Row{Name: "allocations", Unit: "a value", Note: fmt.Sprintf("counted over %d plans", len(e.plans))})
	return nil
}

// workers measures one large batch on two workers against one.
func (e *engineBench) workers(_ context.Context, o Options, s *Section) error {
	n := 1 << 20
	if o.Quick {
		n = 1 << 16
	}
	src, spans := e.values(n, 8, 15, letters)
	one := newEngineJob("batch of 1 M values, one worker", e.best, e.plans[0], src, spans)
	if err := one.run(); err != nil {
		return err
	}
	two := newEngineJob("batch of 1 M values, two workers", e.best, e.plans[0], src, spans)
	parallel := func() error {
		two.b.Dst = two.b.Dst[:0]
		two.plan.TransformParallel(two.b, 2)
		return nil
	}
	if err := parallel(); err != nil {
		return err
	}
	if len(two.b.Bad) > 0 || !bytes.Equal(one.b.Dst, two.b.Dst) || !slices.Equal(one.b.Out, two.b.Out) {
		return errors.New("bench: two workers give another result than one")
	}
	stats, err := Interleave(o.rounds(), []Case{
		{Name: one.name, Amount: float64(n), Run: one.run},
		{Name: two.name, Amount: float64(n), Run: parallel},
	})
	if err != nil {
		return err
	}
	row := Against(stats[1], stats[0], "M values/s", 1e6, 1.6, 1.9)
	if runtime.GOMAXPROCS(0) < 2 {
		row.Must, row.Aim, row.Note = 0, 0, "one CPU"
	}
	s.Rows = append(s.Rows, Plain(stats[0], "M values/s", 1e6), row)
	return nil
}

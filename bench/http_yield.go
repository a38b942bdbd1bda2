package bench

import (
	"context"
	"fmt"
	"time"
)

// httpYield compares servers with and without the yield before a read, in turn, at 100
// values a call: see server.Config.NoReadYield.
func httpYield(ctx context.Context, o Options, client, server *child, period time.Duration) ([]Row, error) {
	const values, conns = 100, 16
	o.logf("http: the yield before a read")
	without, err := startChild(ctx, "velonym-no-yield", 0)
	if err != nil {
		return nil, err
	}
	defer without.stop()
	servers := []*child{server, without}
	var rates [2][]float64
	for r := -1; r < 2*o.rounds(); r++ {
		for k := range servers {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			i := (k + r + 1) % 2 // each goes first in half of the rounds
			rate, _, err := load(client, servers[i], job{Values: values, Conns: conns, Millis: int(period.Milliseconds())})
			if err != nil {
				return nil, fmt.Errorf("bench: http: %w", err)
			}
			if r >= 0 {
				rates[i] = append(rates[i], rate)
			}
		}
	}
	a := statOf("velonym, 100 a call", rates[0])
	b := statOf("velonym without the yield before a read", rates[1])
	return []Row{Against(a, b, "M values/CPU-s", 1e6, 1, 1.05), Plain(b, "M values/CPU-s", 1e6)}, nil
}

package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// columnsBody is the size of the CSV of httpColumns in bytes: about 100,000 rows.
const columnsBody = 8 << 20

// columnsPath is the documented endpoint with the column that is replaced.
const columnsPath = forwardPath + "?column=id&header=present"

// httpColumns compares a CSV with columns over HTTP with `velonym run` of the same bytes, in
// values a second of the CPU time of the server and of the run.
func httpColumns(ctx context.Context, o Options, client, server *child, period time.Duration) ([]Row, error) {
	size := int64(columnsBody)
	if o.Quick {
		size = 256 << 10
	}
	o.logf("http: a CSV of %d bytes with one column replaced", size)
	body, err := Data("narrow", size, 1)
	if err != nil {
		return nil, err
	}
	values := bytes.Count(body, []byte{'\n'}) - 1
	if err := checkColumns(server, body); err != nil {
		return nil, fmt.Errorf("bench: http: CSV with columns: %w", err)
	}
	run, err := startChild(ctx, "run", 0)
	if err != nil {
		return nil, err
	}
	defer run.stop()
	rates := map[string][]float64{}
	for r := -1; r < o.rounds(); r++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		served, _, err := load(client, server, job{Path: columnsPath, CSV: size, Values: values, Conns: 2, Millis: int(period.Milliseconds())})
		if err != nil {
			return nil, fmt.Errorf("bench: http: CSV with columns: %w", err)
		}
		ran, err := run.runFor(size, values, period)
		if err != nil {
			return nil, err
		}
		if r >= 0 {
			rates["velonym"], rates["run"] = append(rates["velonym"], served), append(rates["run"], ran)
		}
	}
	a := statOf("velonym, one column of a CSV", rates["velonym"])
	b := statOf("velonym run of the same bytes", rates["run"])
	return []Row{Against(a, b, "M values/CPU-s", 1e6, 0.5, 0.8), Plain(b, "M values/CPU-s", 1e6)}, nil
}

// checkColumns compares an answer with what encoding/csv reads of the body.
func checkColumns(server *child, body []byte) error {
	got, err := sendOnce(server.hello.Addr, requestAs("text/csv", server.hello.Addr, columnsPath, server.hello.Forward, body))
	if err != nil {
		return err
	}
	in, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil {
		return err
	}
	out, err := csv.NewReader(bytes.NewReader(got)).ReadAll()
	if err != nil {
		return err
	}
	if len(in) != len(out) {
		return fmt.Errorf("%d rows became %d", len(in), len(out))
	}
	for i := range in {
		if i > 0 && (len(out[i][0]) != 32) || strings.Join(in[i][1:], "\x00") != strings.Join(out[i][1:], "\x00") {
			return fmt.Errorf("row %d is another one", i)
		}
	}
	return nil
}

// ran is the report of a child in the role run.
type ran struct {
	Runs  int
	CPU   int64 // nanoseconds
	Error string
}

// runFor has the child run over a CSV of that size for a while, and returns values a second
// of its CPU time.
func (c *child) runFor(size int64, values int, d time.Duration) (float64, error) {
	var res ran
	if err := c.ask(fmt.Sprintf("%d %d", size, d.Milliseconds()), &res); err != nil {
		return 0, err
	}
	if res.Error != "" || res.CPU <= 0 {
		return 0, errors.New("bench: http: velonym run: " + res.Error)
	}
	return float64(res.Runs) * float64(values) / (float64(res.CPU) / 1e9), nil
}

// startRun starts the role run: it answers a line with the size of a CSV and milliseconds by
// what runs of `velonym run` over it took.
func startRun() (h hello, answer func(string) any, end func(), err error) {
	dir, err := os.MkdirTemp("/dev/shm", "velonym-bench-")
	if err != nil {
		if dir, err = os.MkdirTemp("", "velonym-bench-"); err != nil {
			return h, nil, nil, err
		}
	}
	keys, err := suite.NewKeys("bench", "", []suite.Secret{{Active: true}})
	if err != nil {
		os.RemoveAll(dir)
		return h, nil, nil, err
	}
	plan, err := suite.NewPlan(spec.Pseudonymise, runSpec, keys)
	keys.Release()
	if err != nil {
		os.RemoveAll(dir)
		return h, nil, nil, err
	}
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	made := int64(0)
	work := func(line string) (res ran, err error) {
		sizeText, millisText, _ := strings.Cut(line, " ")
		size, err := strconv.ParseInt(sizeText, 10, 64)
		if err != nil {
			return res, err
		}
		millis, err := strconv.Atoi(millisText)
		if err != nil {
			return res, err
		}
		if made != size {
			data, err := Data("narrow", size, 1)
			if err != nil {
				return res, err
			}
			if err := os.WriteFile(in, data, 0o600); err != nil {
				return res, err
			}
			made = size
		}
		before := cpuTime()
		for until := time.Now().Add(time.Duration(millis) * time.Millisecond); time.Now().Before(until); res.Runs++ {
			if _, err := bulk.Run(context.Background(), bulk.Job{Inputs: []string{in}, Output: out, Force: true, Workers: 1,
				Columns: []bulk.Column{{Name: "id", Plan: plan}}}); err != nil {
				return res, err
			}
		}
		res.CPU = cpuTime() - before
		return res, nil
	}
	answer = func(line string) any {
		res, err := work(line)
		if err != nil {
			res.Error = err.Error()
		}
		return res
	}
	return h, answer, func() {
		plan.Close()
		os.RemoveAll(dir)
	}, nil
}

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	arrowmem "github.com/apache/arrow-go/v18/arrow/memory"
)

// arrowType is the media type of an Arrow stream.
const arrowType = "application/vnd.apache.arrow.stream"

// arrowBody returns a stream of one batch with one column: the values of httpBody.
func arrowBody(values int) ([]byte, error) {
	b := array.NewStringBuilder(arrowmem.NewGoAllocator())
	for i := range values {
		b.Append(httpValue(i))
	}
	column := b.NewArray()
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	if err := w.Write(array.NewRecordBatch(schema, []arrow.Array{column}, int64(values))); err != nil {
		return nil, err
	}
	err := w.Close()
	return out.Bytes(), err
}

// httpArrow compares calls of 100,000 values in Arrow with the same values in JSON, on the
// same server.
func httpArrow(ctx context.Context, o Options, client, server *child, period time.Duration) ([]Row, error) {
	const values = 100_000
	o.logf("http: %d values a call in Arrow", values)
	if err := checkArrow(server, values); err != nil {
		return nil, fmt.Errorf("bench: http: Arrow: %w", err)
	}
	rates := map[bool][]float64{}
	for r := -1; r < o.rounds(); r++ {
		for _, inArrow := range []bool{true, false} {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rate, _, err := load(client, server, job{Values: values, Arrow: inArrow, Conns: 2, Millis: int(period.Milliseconds())})
			if err != nil {
				return nil, fmt.Errorf("bench: http: Arrow: %w", err)
			}
			if r >= 0 {
				rates[inArrow] = append(rates[inArrow], rate)
			}
		}
	}
	a := statOf(fmt.Sprintf("velonym, %d a call in Arrow", values), rates[true])
	b := statOf("the same in JSON", rates[false])
	return []Row{Against(a, b, "M values/CPU-s", 1e6, 1.2, 2), Plain(b, "M values/CPU-s", 1e6)}, nil
}

// checkArrow compares an answer with that of the same values in JSON.
func checkArrow(server *child, values int) error {
	body, err := arrowBody(values)
	if err != nil {
		return err
	}
	got, err := sendOnce(server.hello.Addr, requestAs(arrowType, server.hello.Addr, forwardPath, server.hello.Forward, body))
	if err != nil {
		return err
	}
	inJSON, err := sendOnce(server.hello.Addr, requestOf(server.hello.Addr, forwardPath, server.hello.Forward, httpBody(values)))
	if err != nil {
		return err
	}
	r, err := ipc.NewReader(bytes.NewReader(got))
	if err != nil {
		return err
	}
	defer r.Release()
	again := []byte(`{"data":[`)
	for {
		b, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		column, ok := b.Column(0).(*array.String)
		if !ok {
			return errors.New("the column of the answer is not of strings")
		}
		for i := range column.Len() {
			again = fmt.Appendf(again, "%q,", column.Value(i))
		}
	}
	if again = append(again[:len(again)-1], `]}`...); !bytes.Equal(again, inJSON) {
		return errors.New("the pseudonyms differ from those in JSON")
	}
	return nil
}

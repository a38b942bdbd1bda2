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

// arrowBody returns a stream of one batch with one column: the values of httpBody. With
// coded there are a tenth as many, each ten times, in a dictionary.
func arrowBody(values int, coded bool) ([]byte, error) {
	b := array.NewStringBuilder(arrowmem.NewGoAllocator())
	different := values
	if coded {
		different /= 10
	}
	for i := range different {
		b.Append(httpValue(i))
	}
	var column arrow.Array = b.NewArray()
	if coded {
		rows := array.NewInt32Builder(arrowmem.NewGoAllocator())
		for i := range values {
			rows.Append(int32(i * 7919 % different))
		}
		column = array.NewDictionaryArray(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}, rows.NewArray(), column)
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: column.DataType(), Nullable: true}}, nil)
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
	jobs := []job{{Arrow: true}, {}, {Arrow: true, Coded: true}}
	rates := make([][]float64, len(jobs))
	for r := -1; r < o.rounds(); r++ {
		for i, j := range jobs {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			j.Values, j.Conns, j.Millis = values, 2, int(period.Milliseconds())
			rate, _, err := load(client, server, j)
			if err != nil {
				return nil, fmt.Errorf("bench: http: Arrow: %w", err)
			}
			if r >= 0 {
				rates[i] = append(rates[i], rate)
			}
		}
	}
	a := statOf(fmt.Sprintf("velonym, %d a call in Arrow", values), rates[0])
	b := statOf("the same in JSON", rates[1])
	c := statOf("velonym, each of a tenth as many ten times, in a dictionary of Arrow", rates[2])
	const unit, scale = "M values/CPU-s", 1e6
	return []Row{Against(a, b, unit, scale, 1.2, 2), Against(c, b, unit, scale, 0, 0), Plain(b, unit, scale)}, nil
}

// checkArrow compares an answer with that of the same values in JSON.
func checkArrow(server *child, values int) error {
	body, err := arrowBody(values, false)
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

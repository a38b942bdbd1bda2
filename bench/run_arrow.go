package bench

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	arrowmem "github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// arrowBatch is the rows of a record batch.
const arrowBatch = 1 << 16

// arrow measures one of ten columns of a stream, of text and of integers, nearly all
// different, against a copy of the stream by the library.
func (b *runBench) arrow(s *Section) error {
	for _, c := range []struct {
		name   string
		column int
	}{{"Arrow, nearly all ids differ", 0}, {"Arrow, INT64 ids, nearly all differ", 1}} {
		b.o.logf("run: %s", c.name)
		rows := int(b.size() / 64)
		if err := writeArrowStream(b.path("in.arrows"), rows, c.column == 1); err != nil {
			return err
		}
		forward, err := b.plan(spec.Pseudonymise)
		if err != nil {
			return err
		}
		cases := []Case{
			{Name: c.name, Amount: float64(rows), Ready: b.removeOutput("out.arrows"), Run: b.job("in.arrows", "out.arrows", "id", forward, 1)},
			{Name: c.name + ", copied by the library", Amount: float64(rows), Ready: b.removeOutput("copy.arrows"), Run: b.peer("in.arrows", "copy.arrows", copyArrow)},
		}
		for _, k := range cases {
			if err := k.Run(); err != nil {
				return err
			}
		}
		if err := b.checkArrowStream(forward); err != nil {
			return err
		}
		st, err := Interleave(b.o.rounds(), cases)
		if err != nil {
			return err
		}
		const unit = "M rows/s"
		s.Rows = append(s.Rows, Against(st[0], st[1], unit, 1e6, 0.5, 0.8), Plain(st[1], unit, 1e6))
	}
	return nil
}

// writeArrowStream writes a stream of ten columns.
func writeArrowStream(path string, rows int, numbers bool) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	id := arrow.DataType(arrow.BinaryTypes.String)
	if numbers {
		id = arrow.PrimitiveTypes.Int64
	}
	p, text := arrow.PrimitiveTypes, arrow.BinaryTypes.String
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: id, Nullable: true}, {Name: "n", Type: p.Int64}, {Name: "a", Type: p.Int64}, {Name: "b", Type: p.Float64},
		{Name: "c", Type: p.Int32}, {Name: "name", Type: text}, {Name: "town", Type: text}, {Name: "state", Type: text}, {Name: "amount", Type: p.Float64}, {Name: "note", Type: text}}, nil)
	out := bufio.NewWriterSize(f, 1<<20)
	w := ipc.NewWriter(out, ipc.WithSchema(schema))
	build := array.NewRecordBuilder(arrowmem.NewGoAllocator(), schema)
	r := rand.New(rand.NewPCG(8, 1))
	for i := range rows {
		id := 1e12 + r.Int64N(9e12)
		if numbers {
			build.Field(0).(*array.Int64Builder).Append(id)
		} else {
			build.Field(0).(*array.StringBuilder).Append(fmt.Sprint(id))
		}
		build.Field(1).(*array.Int64Builder).Append(int64(i))
		build.Field(2).(*array.Int64Builder).Append(r.Int64N(1e6))
		build.Field(3).(*array.Float64Builder).Append(r.Float64())
		build.Field(4).(*array.Int32Builder).Append(r.Int32N(100))
		build.Field(5).(*array.StringBuilder).Append(familyName[r.IntN(len(familyName))])
		build.Field(6).(*array.StringBuilder).Append(towns[r.IntN(len(towns))])
		build.Field(7).(*array.StringBuilder).Append(states[r.IntN(len(states))])
		build.Field(8).(*array.Float64Builder).Append(float64(r.IntN(1e6)) / 100)
		build.Field(9).(*array.StringBuilder).Append(noteWords[r.IntN(len(noteWords))])
		if (i+1)%arrowBatch == 0 || i == rows-1 {
			if err := w.Write(build.NewRecordBatch()); err != nil {
				return err
			}
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Flush()
}

// copyArrow reads the record batches of a stream and writes them.
func copyArrow(w io.Writer, r io.Reader) error {
	in, err := ipc.NewReader(r)
	if err != nil {
		return err
	}
	defer in.Release()
	out := ipc.NewWriter(w, ipc.WithSchema(in.Schema()))
	for in.Next() {
		if err := out.Write(in.RecordBatch()); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	return out.Close()
}

// checkArrowStream returns an error unless out.arrows is in.arrows with the ids replaced
// by p, and copy.arrows the same as in.arrows.
func (b *runBench) checkArrowStream(p *suite.Plan) error {
	var streams []*ipc.Reader
	for _, name := range []string{"in.arrows", "out.arrows", "copy.arrows"} {
		f, err := os.Open(b.path(name))
		if err != nil {
			return err
		}
		defer f.Close()
		r, err := ipc.NewReader(bufio.NewReader(f))
		if err != nil {
			return err
		}
		defer r.Release()
		streams = append(streams, r)
	}
	in, out, copied := streams[0], streams[1], streams[2]
	var batch suite.Batch
	for in.Next() {
		was := in.RecordBatch()
		if !out.Next() || !copied.Next() || !array.RecordEqual(was, copied.RecordBatch()) {
			return fmt.Errorf("bench: run: Arrow: a batch is not there")
		}
		now := out.RecordBatch()
		for c := 1; c < int(was.NumCols()); c++ {
			if !array.Equal(was.Column(c), now.Column(c)) {
				return fmt.Errorf("bench: run: Arrow: column %s is wrong", was.ColumnName(c))
			}
		}
		ids, results := was.Column(0), now.Column(0)
		for i := range ids.Len() {
			v := ids.ValueStr(i)
			batch.Src, batch.Spans, batch.Dst = []byte(v), []uint32{0, uint32(len(v))}, batch.Dst[:0]
			if p.Transform(&batch); string(batch.Dst) != results.ValueStr(i) {
				return fmt.Errorf("bench: run: Arrow: id %d of a batch is wrong", i+1)
			}
		}
	}
	return in.Err()
}

package server

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/endian"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	arrowmem "github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

const arrowType = "application/vnd.apache.arrow.stream"

// register is a schema with a column of strings of each kind, and others around them.
var register = arrow.NewSchema([]arrow.Field{
	{Name: "n", Type: arrow.PrimitiveTypes.Int64},
	{Name: "id", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "large", Type: arrow.BinaryTypes.LargeString, Nullable: true},
	{Name: "view", Type: arrow.BinaryTypes.StringView, Nullable: true},
	{Name: "raw", Type: arrow.BinaryTypes.Binary},
	{Name: "town", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}, Nullable: true},
	{Name: "person", Type: arrow.StructOf(arrow.Field{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true}), Nullable: true},
	{Name: "codes", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
}, nil)

// registerValue returns the value of row i, "" for none.
func registerValue(i int) string {
	if i%13 == 5 {
		return ""
	}
	return fmt.Sprintf("%013d é", 1893120105732+i*7919)
}

// registerBatch returns rows of register.
func registerBatch(from, n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(arrowmem.NewGoAllocator(), register)
	defer b.Release()
	for i := from; i < from+n; i++ {
		v := registerValue(i)
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		for k, put := range []func(string){
			1: b.Field(1).(*array.StringBuilder).Append,
			2: b.Field(2).(*array.LargeStringBuilder).Append,
			3: b.Field(3).(*array.StringViewBuilder).Append,
			4: func(v string) { b.Field(4).(*array.BinaryBuilder).Append([]byte(v)) },
			5: func(string) {
				if err := b.Field(5).(*array.BinaryDictionaryBuilder).AppendString(registerValue(i % 7)); err != nil {
					panic(err)
				}
			},
			6: func(v string) {
				b.Field(6).(*array.StructBuilder).Append(true)
				b.Field(6).(*array.StructBuilder).FieldBuilder(0).(*array.StringBuilder).Append(v)
			},
			7: func(v string) {
				list := b.Field(7).(*array.ListBuilder)
				list.Append(true)
				for range i % 3 {
					list.ValueBuilder().(*array.StringBuilder).Append(v)
				}
			},
		} {
			switch {
			case k == 0:
			case i%11 == 3 && k != 4:
				b.Field(k).AppendNull()
			default:
				put(v)
			}
		}
	}
	return b.NewRecordBatch()
}

// streamOf writes batches as a stream with arrow-go.
func streamOf(t testing.TB, batches []arrow.RecordBatch, o ...ipc.Option) string {
	t.Helper()
	var out bytes.Buffer
	w := ipc.NewWriter(&out, append([]ipc.Option{ipc.WithSchema(batches[0].Schema())}, o...)...)
	for _, b := range batches {
		if err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// stringsStream returns a stream with one batch of nullable string columns; "\x00" is null.
func stringsStream(t testing.TB, names []string, columns ...[]string) string {
	t.Helper()
	var fields []arrow.Field
	for _, n := range names {
		fields = append(fields, arrow.Field{Name: n, Type: arrow.BinaryTypes.String, Nullable: true})
	}
	b := array.NewRecordBuilder(arrowmem.NewGoAllocator(), arrow.NewSchema(fields, nil))
	defer b.Release()
	for i, c := range columns {
		for _, v := range c {
			if v == "\x00" {
				b.Field(i).AppendNull()
			} else {
				b.Field(i).(*array.StringBuilder).Append(v)
			}
		}
	}
	return streamOf(t, []arrow.RecordBatch{b.NewRecordBatch()})
}

// batches returns the batches of a successful answer, read with arrow-go.
func (a clientAnswer) batches(t testing.TB) (all []arrow.RecordBatch) {
	t.Helper()
	if a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if ct := a.header.Get("Content-Type"); ct != arrowType {
		t.Errorf("content type %q", ct)
	}
	r, err := ipc.NewReader(bytes.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := r.Read()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		b.Retain()
		all = append(all, b)
	}
}

// textsOf returns the strings of a column and of its children; "\x00" is null.
func textsOf(a arrow.Array) (all []string) {
	for i := range a.Len() {
		if a.IsNull(i) {
			all = append(all, "\x00")
			continue
		}
		switch a := a.(type) {
		case *array.Binary:
			all = append(all, string(a.Value(i)))
		case *array.Dictionary:
			all = append(all, a.Dictionary().(*array.String).Value(a.GetValueIndex(i)))
		case *array.Struct:
			all = append(all, textsOf(array.NewSlice(a.Field(0), int64(i), int64(i+1)))...)
		case *array.List:
			from, to := a.ValueOffsets(i)
			all = append(all, fmt.Sprint(to-from))
			all = append(all, textsOf(array.NewSlice(a.ListValues(), from, to))...)
		default:
			all = append(all, a.ValueStr(i))
		}
	}
	return all
}

// TestArrow replaces columns of every kind in streams of several batches, compressed and
// not. Results must be those of calls with the same values in JSON; nulls, empty values and
// all other columns must stay; and a reverse must restore the rows.
func TestArrow(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Workers = 2 })
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	in := []arrow.RecordBatch{registerBatch(0, 3000), registerBatch(3000, 1), registerBatch(3001, 70)}
	for _, query := range []string{"column=id", "column=large&column=view", "column=%233", "column=raw", "column=town", "column=person.name&column=%231", "column=codes", "column=codes&column=town&column=id"} {
		query = strings.ReplaceAll(query, "column=%231", "column=id")
		for name, o := range map[string][]ipc.Option{"plain": nil, "LZ4": {ipc.WithLZ4()}, "ZSTD": {ipc.WithZstd()}} {
			if simdtest.Race() && name != "LZ4" {
				continue
			}
			sent := streamOf(t, in, append(o, ipc.WithDictionaryDeltas(true))...)
			a := r.post(forwardPath+"?"+query, fwd, arrowType, sent)
			got := a.batches(t)
			checkReplaced(t, r, fwd, query+", "+name, query, in, got)
			back := r.post(reversePath+"?"+query, rev, arrowType, string(a.body)).batches(t)
			for i := range in {
				if !array.RecordEqual(in[i], back[i]) {
					t.Fatalf("%s, %s: batch %d has other rows after the reverse", query, name, i)
				}
			}
		}
	}
}

// checkReplaced compares the columns that query names with the results of a call in JSON,
// and all others with the input.
func checkReplaced(t *testing.T, r *rig, tok, what, query string, in, got []arrow.RecordBatch) {
	t.Helper()
	if len(in) != len(got) {
		t.Fatalf("%s: the answer to %d batches has %d", what, len(in), len(got))
	}
	if !got[0].Schema().Equal(in[0].Schema()) {
		t.Fatalf("%s: another schema: %s", what, got[0].Schema())
	}
	for i := range in {
		for k, f := range register.Fields() {
			named := strings.Contains(query+"&", "column="+f.Name+"&") || f.Name == "person" && strings.Contains(query, "person.name") || f.Name == "large" && strings.Contains(query, "%233")
			if !named {
				if !array.Equal(in[i].Column(k), got[i].Column(k)) {
					t.Fatalf("%s: column %s of batch %d has changed", what, f.Name, i)
				}
				continue
			}
			was, now := textsOf(in[i].Column(k)), textsOf(got[i].Column(k))
			if len(was) != len(now) {
				t.Fatalf("%s: column %s of batch %d has %d values, want %d", what, f.Name, i, len(now), len(was))
			}
			var values, made []string
			for j, v := range was {
				if v == "\x00" || f.Name == "codes" && len(v) == 1 {
					if now[j] != v {
						t.Fatalf("%s: column %s, batch %d, value %d: the result of %q is %q, want it unchanged", what, f.Name, i, j, v, now[j])
					}
					continue
				}
				values, made = append(values, v), append(made, now[j])
			}
			if len(values) == 0 {
				continue
			}
			for j, p := range r.pseudonyms(tok, values...) {
				if p != made[j] {
					t.Fatalf("%s: column %s, batch %d, value %d: %q, want %q as in JSON", what, f.Name, i, j, made[j], p)
				}
			}
		}
	}
}

// TestArrowOnlyColumn sends streams with one column of strings and names none.
func TestArrowOnlyColumn(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	fwd := r.token("pseudonymise", nil)
	p := r.pseudonyms(fwd, "a", "b")
	got := r.post(forwardPath, fwd, arrowType, stringsStream(t, []string{"id"}, []string{"a", "\x00", "b", ""})).batches(t)
	if s := textsOf(got[0].Column(0)); fmt.Sprint(s) != fmt.Sprint([]string{p[0], "\x00", p[1], ""}) {
		t.Errorf("got %q, want pseudonyms of a and b, null and empty kept", s)
	}
	// Other parameters of query and media type have no effect; the answer is compressed on
	// request.
	a := r.post(forwardPath+"?x=1", fwd, arrowType+"; charset=binary", stringsStream(t, []string{"id"}, strings.Split(strings.Repeat("a ", 999)+"a", " ")), "Accept-Encoding", "gzip", "Accept", "application/json")
	if a.status != 200 || a.header.Get("Content-Encoding") != "gzip" || a.header.Get("Content-Type") != arrowType {
		t.Errorf("status %d, %v", a.status, a.header)
	}
	// Streams without rows, and without batches.
	for _, none := range []string{stringsStream(t, []string{"id"}, nil), emptyStream(t)} {
		if got := r.post(forwardPath, fwd, arrowType, none).batches(t); len(got) > 0 && got[0].NumRows() > 0 {
			t.Errorf("the answer to a stream without rows has %d", got[0].NumRows())
		}
	}
}

// emptyStream returns a stream with a schema and no batch.
func emptyStream(t testing.TB) string {
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}}, nil)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestArrowRefused checks why streams are refused. A refusal must spend no budget and show
// no value.
func TestArrowRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxBody = 1 << 20 })
	limited := r.token("pseudonymise", func(q *token.Request) { q.Limits = token.Limits{Max: 1000} })
	one := stringsStream(t, []string{"id", "name"}, []string{canary, "b"}, []string{canary, "d"})
	whole := streamOf(t, []arrow.RecordBatch{registerBatch(0, 50)})
	var bigEndian bytes.Buffer
	if err := ipc.NewWriter(&bigEndian, ipc.WithSchema(register.WithEndianness(endian.BigEndian))).Close(); err != nil {
		t.Fatal(err)
	}
	packed := []byte(streamOf(t, []arrow.RecordBatch{registerBatch(0, 500)}, ipc.WithZstd()))
	i := bytes.LastIndex(packed, []byte{0x28, 0xb5, 0x2f, 0xfd})
	copy(packed[i:], "ZSTD")
	for _, x := range []struct {
		what, query, body string
		want              []string
	}{
		{"no column named, several there", "", one, []string{"2 columns of strings", `"id", "name"`, "column=NAME"}},
		{"no such column", "?column=nr", one, []string{`"nr"`, `"id", "name"`}},
		{"no such number", "?column=%233", one, []string{"no column #3", "there are 2"}},
		{"number 0", "?column=%230", one, []string{"from 1"}},
		{"no name", "?column=", one, []string{"name"}},
		{"a column twice", "?column=id&column=%231", one, []string{"given twice"}},
		{"a column that holds several", "?column=codes&column=nobody", whole, []string{`"nobody"`}},
		{"header", "?column=id&header=present", one, []string{"text/csv"}},
		{"delimiter", "?column=id&delimiter=;", one, []string{"text/csv"}},
		{"nothing", "", "", []string{"cut short"}},
		{"half a schema", "?column=id", one[:40], []string{"cut short"}},
		{"half a batch", "?column=id", one[:len(one)-40], []string{"cut short"}},
		{"no end", "?column=id", one[:len(one)-8], []string{"cut short"}},
		{"something behind the end", "?column=id", one + "x", []string{"behind the end"}},
		{"another schema", "?column=id", one[:len(one)-8] + one, []string{"batch 2", "schema changes"}},
		{"big endian", "?column=id", bigEndian.String(), []string{"big endian"}},
		{"damaged compression", "?column=id&column=codes", string(packed), []string{"batch 1", "damaged"}},
		{"JSON", "?column=id", `{"data":["` + canary + `"]}`, []string{"no Arrow stream"}},
		{"an Arrow file", "?column=id", "ARROW1\x00\x00" + one, []string{"Arrow file", "stream"}},
	} {
		a := r.post(forwardPath+x.query, limited, arrowType, x.body)
		p := a.problem(t, 400, "BAD_REQUEST")
		for _, w := range x.want {
			if !strings.Contains(p.Detail, w) {
				t.Errorf("%s: the detail %q does not contain %q", x.what, p.Detail, w)
			}
		}
		if bytes.Contains(a.body, []byte(canary)) {
			t.Errorf("%s: the answer contains a value: %s", x.what, a.body)
		}
	}
	for cut := range len(one) - 1 {
		r.post(forwardPath+"?column=id", limited, arrowType, one[:cut]).problem(t, 400, "BAD_REQUEST")
	}
	r.post(forwardPath+"?column=id", limited, arrowType, strings.Repeat(one, 1<<20/len(one)+1)).problem(t, 413, "TOO_LARGE")
	r.post("/api/validate?column=id", limited, arrowType, one).problem(t, 415, "UNSUPPORTED_MEDIA_TYPE")
	r.post(forwardPath+"?column=id", limited, "application/vnd.apache.arrow.file", one).problem(t, 415, "UNSUPPORTED_MEDIA_TYPE")
	r.post(forwardPath+"?column=id", limited, jsonType, one).problem(t, 400, "BAD_REQUEST")
	r.post(reversePath+"?column=id", limited, arrowType, one).problem(t, 403, "FORBIDDEN_OPERATION")
	r.post(forwardPath+"?column=id", "", arrowType, one).problem(t, 401, "MISSING_TOKEN")
	// None of these requests spent the budget.
	a := r.post(forwardPath+"?column=id", limited, arrowType, stringsStream(t, []string{"id"}, []string{"a", "", "\x00", "b"}))
	if a.batches(t); a.header.Get("X-Values-Left") != "998" {
		t.Errorf("X-Values-Left: %q", a.header.Get("X-Values-Left"))
	}
	if strings.Contains(r.log.String(), canary) {
		t.Error("the log contains a value")
	}
}

// TestArrowBadValues checks strict and item mode, limits, revocation and the audit record.
func TestArrowBadValues(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	fwd := r.token("pseudonymise", nil)
	item := r.token("pseudonymise", func(q *token.Request) { q.Err = token.ErrItem })
	p := r.pseudonyms(fwd, "1", "2")
	body := stringsStream(t, []string{"id", "x", "n"}, []string{"1", "a\x01", "1", "\x00"}, []string{"", "", "", ""}, []string{"2", "2", "\x02", ""})
	const query = "?column=n&column=id"
	a := r.post(forwardPath+query, fwd, arrowType, body)
	e := a.problem(t, 422, "UNPROCESSABLE_VALUES")
	if got := fmt.Sprint(e.Errors, e.ErrorCount); got != `[{1 id VALUE_NOT_TEXT} {2 n VALUE_NOT_TEXT}] 2` {
		t.Errorf("bad values: %s", got)
	}
	if bytes.Contains(a.body, []byte(p[0])) {
		t.Error("a refusal contains results")
	}
	a = r.post(forwardPath+query, item, arrowType, body)
	got := a.batches(t)[0]
	if s := fmt.Sprint(textsOf(got.Column(0)), textsOf(got.Column(2))); s != fmt.Sprint([]string{p[0], "\x00", p[0], "\x00"}, []string{p[1], p[1], "\x00", ""}) || a.header.Get("X-Error-Count") != "2" {
		t.Errorf("item mode: X-Error-Count %s, got %q", a.header.Get("X-Error-Count"), s)
	}
	if log := r.records(); !strings.Contains(log, `"values":8,"empty":2,"bad":2`) {
		t.Errorf("audit log: %s", log)
	}
	few := r.token("pseudonymise", func(q *token.Request) { q.Limits = token.Limits{Req: 3, Max: 10} })
	four := stringsStream(t, []string{"id"}, []string{"1", "2", "3", "4"})
	three := stringsStream(t, []string{"id"}, []string{"1", "", "\x00", "3", "4"})
	r.post(forwardPath, few, arrowType, four).problem(t, 413, "TOO_LARGE")
	for left := 7; left > 0; left -= 3 {
		if a = r.post(forwardPath, few, arrowType, three); a.header.Get("X-Values-Left") != fmt.Sprint(left) {
			t.Errorf("X-Values-Left: %q, want %d", a.header.Get("X-Values-Left"), left)
		}
		a.batches(t)
	}
	if a := r.post(forwardPath, few, arrowType, three); a.problem(t, 429, "QUOTA_EXCEEDED").Code == "" || a.header.Get("X-Values-Left") != "1" {
		t.Errorf("X-Values-Left: %q", a.header.Get("X-Values-Left"))
	}
	revoked, claims, err := r.issuer.Create(t.Context(), r.ks, token.Request{Project: "study", TTL: time.Hour})
	if err == nil {
		err = r.ks.Revoke(t.Context(), claims.ID, claims.Expires)
	}
	if err == nil {
		err = r.verifier.Sync(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	r.post(forwardPath, revoked, arrowType, three).problem(t, 401, "REVOKED_TOKEN")
	var numbers []string
	for i := range 3000 {
		numbers = append(numbers, fmt.Sprint(1_000_000+i))
	}
	r.post(forwardPath, fwd, arrowType, stringsStream(t, []string{"id"}, numbers)).batches(t)
	if !strings.Contains(r.log.String(), "consecutive numbers") {
		t.Error("the log does not report consecutive numbers")
	}
}

// TestArrowTyped checks that columns of numbers and of bytes get the pseudonyms of their
// texts, and that a reverse restores values and types.
func TestArrowTyped(t *testing.T) {
	r := newRig(t, nil)
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "u", Type: arrow.PrimitiveTypes.Uint8},
		{Name: "d", Type: &arrow.Decimal128Type{Precision: 20}},
		{Name: "b", Type: &arrow.FixedSizeBinaryType{ByteWidth: 2}},
	}, nil)
	b := array.NewRecordBuilder(arrowmem.NewGoAllocator(), schema)
	var texts [4][]string
	for i := range 300 {
		n := int64(i)*1_234_567_890_123 - 5
		if i == 7 {
			b.Field(0).AppendNull()
			texts[0] = append(texts[0], "")
		} else {
			b.Field(0).(*array.Int64Builder).Append(n)
			texts[0] = append(texts[0], fmt.Sprint(n))
		}
		b.Field(1).(*array.Uint8Builder).Append(uint8(i))
		b.Field(2).(*array.Decimal128Builder).Append(decimal128.FromI64(n))
		b.Field(3).(*array.FixedSizeBinaryBuilder).Append([]byte{byte(i), 7})
		texts[1], texts[2], texts[3] = append(texts[1], fmt.Sprint(uint8(i))), append(texts[2], fmt.Sprint(n)), append(texts[3], fmt.Sprintf("%02x07", byte(i)))
	}
	in := b.NewRecordBatch()
	const query = "?column=i&column=u&column=d&column=b"
	for name, o := range map[string][]ipc.Option{"plain": nil, "ZSTD": {ipc.WithZstd()}} {
		a := r.post(forwardPath+query, fwd, arrowType, streamOf(t, []arrow.RecordBatch{in}, o...))
		got := a.batches(t)[0]
		for k := range texts {
			for i, p := range r.pseudonyms(fwd, texts[k]...) {
				if c := got.Column(k); c.IsNull(i) != in.Column(k).IsNull(i) || c.IsValid(i) && c.ValueStr(i) != p {
					t.Fatalf("%s: column %d, row %d: %q, and JSON gives %q", name, k, i, c.ValueStr(i), p)
				}
			}
		}
		if back := r.post(reversePath+query, rev, arrowType, string(a.body)).batches(t)[0]; !array.RecordEqual(in, back) {
			t.Errorf("%s: the reverse does not restore the batch: %v", name, back.Schema())
		}
	}
	p := r.post(forwardPath, fwd, arrowType, streamOf(t, []arrow.RecordBatch{in})).problem(t, 400, "BAD_REQUEST")
	if !strings.Contains(p.Detail, `no column of strings`) || !strings.Contains(p.Detail, `"i", "u", "d", "b"`) {
		t.Errorf("no column named: %s", p.Detail)
	}
}

// TestArrowManyValues sends more values than are transformed at a time, long, short, empty
// and null ones, with tokens of each kind, and compares results and bad values with JSON.
func TestArrowManyValues(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Workers = 2 })
	r.project("digits", func(p *keys.Project) { p.Form = "digits" })
	r.project("tagged", func(p *keys.Project) { p.Tag = 64 })
	r.project("count", func(p *keys.Project) { p.Policy = "document" })
	projects := []string{"study", "digits", "tagged", "count"}
	if simdtest.Race() {
		projects = projects[:1]
	}
	for _, project := range projects {
		for _, mode := range []string{"equal", "mixed", "nulls", "bad"} {
			tok := r.token("pseudonymise", func(q *token.Request) {
				q.Project, q.Err = project, token.ErrItem
				if project != "tagged" && (mode == "equal" || mode == "mixed") {
					q.Norm = []string{"trim"} // the other modes take the path without normalisation
				}
			})
			var sent, asked []string
			for i := range 40_000 {
				v := fmt.Sprintf("%013d", i*7919%30_011)
				switch {
				case mode == "equal":
				case i%1000 == 7:
					v = ""
				case i%1000 == 8:
					v = "  "
				case i%3 == 0:
					v = strings.Repeat(v, 1+i%4)
				case mode == "nulls" && i%100 == 9:
					v = "\x00"
				case mode == "bad" && i%20_000 == 17_500:
					v = "\x01"
				}
				sent = append(sent, v)
				if v == "\x00" {
					v = ""
				}
				asked = append(asked, v)
			}
			a := r.post(forwardPath, tok, arrowType, stringsStream(t, []string{"id"}, sent))
			got := textsOf(a.batches(t)[0].Column(0))
			j := r.post(forwardPath, tok, jsonType, jsonOf(asked...))
			bad := 0
			for i, want := range j.data(t) {
				switch {
				case want == nil:
					bad++
					if got[i] != "\x00" {
						t.Fatalf("%s, %s: value %d is bad in JSON and %q in Arrow", project, mode, i, got[i])
					}
				case got[i] != *want && !(sent[i] == "\x00" && got[i] == "\x00"):
					t.Fatalf("%s, %s: value %d is %q in JSON and %q in Arrow", project, mode, i, *want, got[i])
				}
			}
			if n := a.header.Get("X-Error-Count"); bad > 0 && n != fmt.Sprint(bad) || bad == 0 && n != "" || (mode == "bad") != (bad > 0) && project == "study" {
				t.Errorf("%s, %s: %d bad values, X-Error-Count %q", project, mode, bad, n)
			}
		}
	}
}

// TestArrowDictionary checks that dictionary entries are charged and reported once for each
// row that refers to them, and entries without a row once. With policy different each row
// gets a pseudonym of its own, in a plain column.
func TestArrowDictionary(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	fwd := r.token("pseudonymise", func(q *token.Request) { q.Limits = token.Limits{Max: 1000} })
	stream := func(entries []string, rows ...int16) string {
		s := array.NewStringBuilder(arrowmem.NewGoAllocator())
		s.AppendValues(entries, nil)
		x := array.NewInt16Builder(arrowmem.NewGoAllocator())
		x.AppendValues(rows, nil)
		typ := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}
		d := array.NewDictionaryArray(typ, x.NewArray(), s.NewArray())
		schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: typ, Nullable: true}}, nil)
		return streamOf(t, []arrow.RecordBatch{array.NewRecordBatch(schema, []arrow.Array{d}, int64(len(rows)))})
	}
	left := func(a clientAnswer) string { return a.header.Get("X-Values-Left") }
	if a := r.post(forwardPath, fwd, arrowType, stream([]string{"a", "b", ""}, 0, 0, 1, 2, 0)); left(a) != "996" {
		t.Errorf("rows: %s left: %s", left(a), a.body)
	}
	if a := r.post(forwardPath, fwd, arrowType, stream([]string{"a", "b", "c", "d"}, 0)); left(a) != "992" {
		t.Errorf("entries without a row: %s left", left(a))
	}
	bad := stream([]string{"a", "b\x01", "c\x01"}, 0, 1, 0, 1)
	e := r.post(forwardPath, fwd, arrowType, bad).problem(t, 422, "UNPROCESSABLE_VALUES")
	if got := fmt.Sprint(e.Errors, e.ErrorCount); got != `[{1 id VALUE_NOT_TEXT} {3 id VALUE_NOT_TEXT}] 2` {
		t.Errorf("bad values: %s", got)
	}
	r.project("apart", func(p *keys.Project) { p.Policy = "different" })
	apart := r.token("pseudonymise", func(q *token.Request) { q.Project = "apart" })
	e = r.post(forwardPath, apart, arrowType, bad).problem(t, 422, "UNPROCESSABLE_VALUES")
	if got := fmt.Sprint(e.Errors, e.ErrorCount); got != `[{1 id VALUE_NOT_TEXT} {3 id VALUE_NOT_TEXT}] 2` {
		t.Errorf("bad values of policy different: %s", got)
	}
	plain := r.post(forwardPath, apart, arrowType, stream([]string{"a", "b", ""}, 0, 0, 1, 2)).batches(t)[0].Column(0)
	if got := textsOf(plain); plain.DataType().ID() != arrow.STRING || got[0] == got[1] || got[3] != "" {
		t.Errorf("policy different: %s %q", plain.DataType(), got)
	}
}

// TestArrowBomb checks that a small body whose rows share a long value does not make the
// server work on more text than a body may have.
func TestArrowBomb(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxBody = 4 << 20 })
	r.project("apart", func(p *keys.Project) { p.Policy = "different" })
	tok := r.token("pseudonymise", func(q *token.Request) { q.Project, q.Limits = "apart", token.Limits{Max: 1 << 40} })
	s := array.NewStringBuilder(arrowmem.NewGoAllocator())
	s.Append(strings.Repeat("long", 10_000))
	x := array.NewInt8Builder(arrowmem.NewGoAllocator())
	x.AppendValues(make([]int8, 1_000_000), nil)
	typ := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	d := array.NewDictionaryArray(typ, x.NewArray(), s.NewArray())
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: typ}}, nil)
	bomb := streamOf(t, []arrow.RecordBatch{array.NewRecordBatch(schema, []arrow.Array{d}, 1_000_000)})
	if p := r.post(forwardPath, tok, arrowType, bomb).problem(t, 413, "TOO_LARGE"); !strings.Contains(p.Detail, "in parts") {
		t.Errorf("detail: %s", p.Detail)
	}
	r.waitMemoryReleased()
	a := r.post(forwardPath, tok, arrowType, stringsStream(t, []string{"id"}, []string{"a"}))
	if a.batches(t); a.header.Get("X-Values-Left") != fmt.Sprint(1<<40-1) {
		t.Errorf("X-Values-Left: %s", a.header.Get("X-Values-Left"))
	}
}

// TestArrowUnderNull checks that text that stands under a null is in no answer, neither as
// it is nor as a pseudonym, is not paid for, and counts as memory when it is unpacked.
func TestArrowUnderNull(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxInFlight = 16 << 20 })
	tok := r.token("pseudonymise", func(q *token.Request) { q.Limits = token.Limits{Max: 100} })
	stream := func(hidden string, o ...ipc.Option) string {
		s := array.NewStringBuilder(arrowmem.NewGoAllocator())
		s.AppendValues([]string{"a", hidden, "b"}, nil)
		d := s.NewArray().Data()
		valid := arrowmem.NewBufferBytes([]byte{0b101})
		c := array.MakeFromData(array.NewData(d.DataType(), 3, []*arrowmem.Buffer{valid, d.Buffers()[1], d.Buffers()[2]}, nil, 1, 0))
		schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
		return streamOf(t, []arrow.RecordBatch{array.NewRecordBatch(schema, []arrow.Array{c}, 3)}, o...)
	}
	p := r.pseudonyms(tok, "a", canary, "b")
	for i, o := range [][]ipc.Option{nil, {ipc.WithLZ4()}} {
		a := r.post(forwardPath, tok, arrowType, stream(canary, o...))
		if s := textsOf(a.batches(t)[0].Column(0)); fmt.Sprint(s) != fmt.Sprint([]string{p[0], "\x00", p[2]}) || a.header.Get("X-Values-Left") != fmt.Sprint(95-2*i) {
			t.Errorf("got %q, X-Values-Left %s", s, a.header.Get("X-Values-Left"))
		}
		if bytes.Contains(a.body, []byte(p[1])) || bytes.Contains(a.body, []byte(canary)) {
			t.Error("the answer holds what stands under a null")
		}
	}
	r.post(forwardPath, tok, arrowType, stream(strings.Repeat("a", 15<<20), ipc.WithZstd())).problem(t, 413, "TOO_LARGE")
	r.waitMemoryReleased()
}

// TestArrowNotText checks that a value that is not UTF-8 is bad in a column of strings, and
// reversed in a column of bytes.
func TestArrowNotText(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.project("tagged", func(p *keys.Project) { p.Tag = 64 })
	of := func(q *token.Request) { q.Project = "tagged" }
	fwd, rev := r.token("pseudonymise", of), r.token("reverse", of)
	b := array.NewRecordBuilder(arrowmem.NewGoAllocator(), arrow.NewSchema([]arrow.Field{{Name: "raw", Type: arrow.BinaryTypes.Binary}}, nil))
	for _, v := range []string{"a", "\xc3", "\xa9", "b"} { // the bytes of é, apart
		b.Field(0).(*array.BinaryBuilder).Append([]byte(v))
	}
	in := b.NewRecordBatch()
	a := r.post(forwardPath+"?column=raw", fwd, arrowType, streamOf(t, []arrow.RecordBatch{in}))
	made := textsOf(a.batches(t)[0].Column(0))
	if back := r.post(reversePath+"?column=raw", rev, arrowType, string(a.body)).batches(t); !array.RecordEqual(in, back[0]) {
		t.Errorf("bytes: %v", back[0])
	}
	e := r.post(reversePath, rev, arrowType, stringsStream(t, []string{"id"}, made)).problem(t, 422, "UNPROCESSABLE_VALUES")
	if got := fmt.Sprint(e.Errors, e.ErrorCount); got != `[{1 id VALUE_NOT_TEXT} {2 id VALUE_NOT_TEXT}] 2` {
		t.Errorf("strings: %s", got)
	}
}

// TestArrowReleasesMemory checks that a call releases its memory, whatever the answer, and
// that one that needs more than the limit is refused.
func TestArrowReleasesMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxInFlight, c.Workers = 16<<20, 2 })
	fwd := r.token("pseudonymise", nil)
	values := strings.Split(strings.Repeat("1973080520045 ", 20_000)+"a", " ")
	body := stringsStream(t, []string{"id"}, values)
	bad := stringsStream(t, []string{"id"}, append(values, "\x01"))
	large := stringsStream(t, []string{"id"}, strings.Split(strings.Repeat("1973080520045 ", 200_000)+"a", " "))
	for range 3 {
		r.post(forwardPath, fwd, arrowType, body).batches(t)
		r.post(forwardPath, fwd, arrowType, bad).problem(t, 422, "UNPROCESSABLE_VALUES")
		r.post(forwardPath, fwd, arrowType, body[:len(body)-9]).problem(t, 400, "BAD_REQUEST")
		r.post(forwardPath+"?column=nr", fwd, arrowType, body).problem(t, 400, "BAD_REQUEST")
		r.post(forwardPath, fwd, arrowType, large).problem(t, 413, "TOO_LARGE")
	}
	r.waitMemoryReleased()
}

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/token"
)

const validatePath = "/api/validate"

// inspections returns the items of a successful answer of /api/validate as JSON texts.
func (a clientAnswer) inspections(t testing.TB) (out []string) {
	t.Helper()
	if a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	var v struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v: %.200q", err, a.body)
	}
	for _, item := range v.Data {
		out = append(out, string(item))
	}
	return out
}

// TestValidate inspects pseudonyms of two generations, malformed ones and tags, with every
// kind of token of the domain. Neither answers nor records may contain the value.
func TestValidate(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ctx := context.Background()
	r.project("tagged", func(p *keys.Project) { p.Tag = 128 })
	forward := r.token(spec.Pseudonymise, nil)
	tagged := r.token(spec.Pseudonymise, func(q *token.Request) { q.Project = "tagged" })
	old := r.post(forwardPath, forward, csvType, "Jane Doe").strings(t)[0]
	oldTagged := r.post(forwardPath, tagged, csvType, "Jane Doe").strings(t)[0]
	for _, name := range []string{"study", "tagged"} {
		if err := r.ks.Rotate(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.verifier.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	now := r.post(forwardPath, forward, csvType, "Jane Doe").strings(t)[0]
	want := []string{
		`{"well_formed":true,"form":"pair62","generation":0,"state":"deactivated","tag":"none"}`,
		`{"well_formed":true,"form":"pair62","generation":1,"state":"active","tag":"none"}`,
		`null`,
		`{"well_formed":false}`,
	}
	for _, op := range []spec.Op{spec.Pseudonymise, spec.Reverse, spec.Secondary} {
		tok := r.token(op, func(q *token.Request) {
			if op == spec.Secondary {
				q.Source = "study"
			}
		})
		if got := r.post(validatePath, tok, jsonType, jsonOf(old, now, "", "Jane Doe")).inspections(t); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s, want %s", op, got, want)
		}
		// A secondary token of one project translates to its active generation.
		if op == spec.Secondary {
			if got := r.post(forwardPath, tok, jsonType, jsonOf(old, now)).strings(t); got[0] != now || got[1] != now {
				t.Errorf("translated to %q, want %q twice", got, now)
			}
		}
	}
	if got := r.post(validatePath, forward, csvType, old+","+now).inspections(t); !reflect.DeepEqual(got, want[:2]) {
		t.Errorf("CSV: %s, want %s", got, want[:2])
	}
	if got := r.post(validatePath, forward, jsonType, `{"data":[1,"`+now+`"]}`).inspections(t); !reflect.DeepEqual(got, []string{want[3], want[1]}) {
		t.Errorf("an item that is no string: %s", got)
	}
	last := "a"
	if strings.HasSuffix(oldTagged, last) {
		last = "b"
	}
	if got := r.post(validatePath, tagged, jsonType, jsonOf(oldTagged, oldTagged[:len(oldTagged)-1]+last)).inspections(t); !strings.Contains(got[0], `"tag":"right"`) || !strings.Contains(got[1], `"tag":"wrong"`) {
		t.Errorf("tags: %s, want a right one and a wrong one", got)
	}
	if _, err := r.ks.DestroyGeneration(ctx, "study", 0); err != nil {
		t.Fatal(err)
	}
	if err := r.verifier.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if got := r.post(validatePath, forward, jsonType, jsonOf(old)).inspections(t); !strings.Contains(got[0], `"state":"destroyed"`) {
		t.Errorf("a destroyed generation: %s", got)
	}
	if log := r.records(); strings.Count(log, `"op":"validate"`) != 7 || strings.Contains(log, "Jane") {
		t.Errorf("want 7 records of validate, none with a value:\n%s", log)
	}
}

// TestValidateLimits checks that the endpoint refuses calls as the others do.
func TestValidateLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxBody = 4096 })
	limited := r.token(spec.Pseudonymise, func(q *token.Request) { q.Limits = token.Limits{Req: 3, Max: 5} })
	r.post(validatePath, "", jsonType, jsonOf("x")).problem(t, 401, "MISSING_TOKEN")
	r.post(validatePath, "x.y.z", jsonType, jsonOf("x")).problem(t, 401, "INVALID_TOKEN")
	r.post(validatePath, limited, "text/plain", "x").problem(t, 415, "UNSUPPORTED_MEDIA_TYPE")
	r.post(validatePath, limited, jsonType, `{"data":[`).problem(t, 400, "BAD_REQUEST")
	r.post(validatePath, limited, jsonType, jsonOf(strings.Repeat("x", 5000))).problem(t, 413, "TOO_LARGE")
	r.post(validatePath, limited, csvType, "a,b,c,d").problem(t, 413, "TOO_LARGE")
	r.post(validatePath, limited, csvType, "a,b,c").inspections(t)
	r.post(validatePath, limited, csvType, "a,b,c").problem(t, 429, "QUOTA_EXCEEDED")
	if a := r.send("GET", validatePath, nil); a.status != 405 || a.header.Get("Allow") != "POST" {
		t.Errorf("GET: status %d, Allow %q, want 405 and POST", a.status, a.header.Get("Allow"))
	}
	// More values than fit into the buffers of a call, and a form that JSON escapes.
	r.project("odd", func(p *keys.Project) { p.Form = `fpe:"\0123456789` })
	tok := r.token(spec.Pseudonymise, func(q *token.Request) { q.Project = "odd" })
	values := make([]string, 300)
	for i := range values {
		values[i] = fmt.Sprintf(`"\%06d`, i)
	}
	for i, f := range r.post(validatePath, tok, jsonType, jsonOf(values...)).inspections(t) {
		if f != `{"well_formed":true,"form":"fpe:\"\\0123456789","generation":null,"state":null,"tag":"none"}` {
			t.Fatalf("value %d: %s", i, f)
		}
	}
}

package server

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestAllocationsDoNotDependOnValues holds the request path to a number of allocations that does
// not depend on the values.
func TestAllocationsDoNotDependOnValues(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Workers = 1 })
	tok := r.token("pseudonymise", nil)
	count := func(values int) float64 {
		body := jsonOf(slices.Repeat([]string{"1893120105732"}, values)...)
		ctx := &fasthttp.RequestCtx{}
		one := func() {
			ctx.Init(&fasthttp.Request{}, nil, nil)
			ctx.Request.Header.SetMethod("POST")
			ctx.Request.SetRequestURI(forwardPath)
			ctx.Request.Header.SetContentType(jsonType)
			ctx.Request.Header.Set("Authorization", "Bearer "+tok)
			ctx.Request.SetBodyStream(strings.NewReader(body), len(body))
			r.srv.handle(ctx)
			if ctx.Response.StatusCode() != 200 {
				t.Fatal(ctx.Response.String())
			}
			ctx.Request.Reset()
			ctx.Response.Reset()
		}
		// The least of a few: what runs in the background allocates too.
		least := testing.AllocsPerRun(50, one)
		for range 9 {
			least = min(least, testing.AllocsPerRun(50, one))
		}
		return least
	}
	few, many := count(10), count(400)
	if many > few+4 { // a collection may empty a pool on the way
		t.Errorf("%v allocations for 10 values, %v for 400", few, many)
	}
	if few > 30 {
		t.Errorf("%v allocations a request", few)
	}
}

func TestPoolSizeClasses(t *testing.T) {
	last := 0
	for n := 1; n < 1<<22; n += 1 + n/300 {
		i, size := sizeClass(n)
		if size < n || n > minClass && size > n+n/4 {
			t.Fatalf("%d bytes get a buffer of %d", n, size)
		}
		if j, again := sizeClass(size); j != i || again != size {
			t.Fatalf("size %d of class %d is in class %d of size %d", size, i, j, again)
		}
		if i < last || i > last+1 {
			t.Fatalf("class %d after %d", i, last)
		}
		last = i
	}
	if i, _ := sizeClass(1 << 34); i >= classes {
		t.Errorf("class %d of %d", i, classes)
	}
	m := newMemory(64 << 10)
	b, ok := m.bytes.get(30 << 10)
	if !ok {
		t.Fatal("no room")
	}
	if _, ok := m.bytes.get(60 << 10); ok {
		t.Error("more than the limit")
	}
	m.bytes.put(b)
	w, ok := m.words.get(15 << 10) // only fits when the idle buffer goes
	if !ok || m.used.Load()+m.idle.Load() > m.limit {
		t.Errorf("%d used, %d idle of %d", m.used.Load(), m.idle.Load(), m.limit)
	}
	m.words.put(w)
	if n := m.trim(); n != 0 {
		t.Errorf("%d bytes dropped that were used a moment ago", n)
	}
	if n := m.trim(); n != 64<<10 {
		t.Errorf("%d bytes dropped", n)
	}
	if m.used.Load() != 0 || m.idle.Load() != 0 {
		t.Errorf("%d used, %d idle after all", m.used.Load(), m.idle.Load())
	}
}

// TestMemoryBound overloads a small server with large requests. Some are
// refused; the bound holds throughout; a request that can never be served is
// told so.
func TestMemoryBound(t *testing.T) {
	const limit = 8 << 20
	r := newRig(t, func(c *Config) { c.MaxInFlight = limit })
	tok := r.token("pseudonymise", nil)
	body := strings.Repeat("12345678,", 33_000) + "1"
	var over atomic.Int64
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Add(1)
	go func() {
		defer watch.Done()
		for {
			select {
			case <-stop:
				return
			default:
				if n := r.srv.mem.used.Load(); n > limit {
					over.Store(n)
				}
				runtime.Gosched()
			}
		}
	}()
	var ok, refused atomic.Int64
	var wg sync.WaitGroup
	for range 12 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 4 {
				a := r.post(forwardPath, tok, csvType, body)
				switch {
				case a.status == 200 && len(a.data(t)) == 33_001:
					ok.Add(1)
				case a.status == 503 && a.header.Get("Retry-After") != "":
					refused.Add(1)
				default:
					t.Errorf("status %d: %.200s", a.status, a.body)
				}
			}
		}()
	}
	wg.Wait()
	close(stop)
	watch.Wait()
	if over.Load() > 0 {
		t.Errorf("%d bytes in flight, over the limit", over.Load())
	}
	if ok.Load() == 0 {
		t.Error("nobody was served")
	}
	r.waitMemoryReleased()
	if idle := r.srv.mem.idle.Load(); idle > limit {
		t.Errorf("%d idle bytes", idle)
	}
	a := r.post(forwardPath, tok, csvType, strings.Repeat("1,", 2<<20))
	a.problem(t, 413, "TOO_LARGE")
}

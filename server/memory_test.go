package server

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// TestAllocationsDoNotDependOnValues checks that the request path makes a small number of
// allocations, whatever the number of values.
func TestAllocationsDoNotDependOnValues(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Workers = 1 })
	tok := r.token("pseudonymise", nil)
	count := func(values int) float64 {
		body := jsonOf(slices.Repeat([]string{"1893120105732"}, values)...)
		ctx := &fasthttp.RequestCtx{}
		request := func() {
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
		// Background goroutines allocate too, so take the least of several measurements.
		least := testing.AllocsPerRun(50, request)
		for range 9 {
			least = min(least, testing.AllocsPerRun(50, request))
		}
		return least
	}
	few, many := count(10), count(400)
	if many > few+4 { // a garbage collection may empty a pool meanwhile
		t.Errorf("%v allocations for 10 values, %v for 400", few, many)
	}
	if few > 30 {
		t.Errorf("%v allocations per request, want at most 30", few)
	}
}

// TestPoolSizeClasses checks the size classes of buffers, and that idle buffers make room
// for new ones.
func TestPoolSizeClasses(t *testing.T) {
	last := 0
	for n := 1; n < 1<<22; n += 1 + n/300 {
		i, size := sizeClass(n)
		if size < n || n > minClass && size > n+n/4 {
			t.Fatalf("a buffer for %d bytes has %d, want at most a quarter more", n, size)
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
		t.Fatal("get refused a buffer within the limit")
	}
	if _, ok := m.bytes.get(60 << 10); ok {
		t.Error("get returned a buffer beyond the limit")
	}
	m.bytes.put(b)
	w, ok := m.words.get(15 << 10) // fits only without the idle buffer
	if !ok || m.used.Load()+m.idle.Load() > m.limit {
		t.Errorf("%d bytes used and %d idle, want together at most %d", m.used.Load(), m.idle.Load(), m.limit)
	}
	m.words.put(w)
	if n := m.trim(); n != 0 {
		t.Errorf("the first trim dropped %d bytes that were used since the last one", n)
	}
	if n := m.trim(); n != 64<<10 {
		t.Errorf("the second trim dropped %d bytes, want 65536", n)
	}
	if m.used.Load() != 0 || m.idle.Load() != 0 {
		t.Errorf("%d bytes used and %d idle at the end, want none", m.used.Load(), m.idle.Load())
	}
}

// TestMemoryBound overloads a small server with large requests. The memory stays below
// its limit, some requests are refused with Retry-After, and one that could never be
// served gets a 413.
func TestMemoryBound(t *testing.T) {
	t.Parallel()
	const limit = 8 << 20
	r := newRig(t, func(c *Config) { c.MaxInFlight = limit })
	tok := r.token("pseudonymise", nil)
	body := strings.Repeat("12345678,", 33_000) + "1"
	var over atomic.Int64
	stop := make(chan struct{})
	var observer sync.WaitGroup
	observer.Add(1)
	go func() {
		defer observer.Done()
		for {
			select {
			case <-stop:
				return
			default:
				if n := r.srv.mem.used.Load(); n > limit {
					over.Store(n)
				}
				time.Sleep(20 * time.Microsecond)
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
	observer.Wait()
	if over.Load() > 0 {
		t.Errorf("%d bytes in flight, over the limit", over.Load())
	}
	if ok.Load() == 0 {
		t.Error("no request was answered with 200")
	}
	r.waitMemoryReleased()
	if idle := r.srv.mem.idle.Load(); idle > limit {
		t.Errorf("%d idle bytes, want at most %d", idle, limit)
	}
	a := r.post(forwardPath, tok, csvType, strings.Repeat("1,", 2<<20))
	a.problem(t, 413, "TOO_LARGE")
}

package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

func testSweep(e *env) {
	e.create("p", "a", "b")
	e.must(e.ks.Rotate(e.ctx, "p"))
	p := e.project("longer")
	p.Retention = e.now().Add(48 * time.Hour)
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	if r, err := e.ks.Sweep(e.ctx); !r.Empty() || err != nil {
		e.Fatalf("swept %+v too early, error %v", r, err)
	}
	e.later(25 * time.Hour)
	before := e.change()
	swept, err := e.second().Sweep(e.ctx)
	e.must(err)
	rs := swept.Destroyed
	if len(rs) != 1 || rs[0].Project != "p" || rs[0].Reason != keys.ReasonRetention || len(rs[0].Orgs) != 2 || len(rs[0].Orgs[0].Generations) != 2 {
		e.Fatalf("receipts %+v", rs)
	}
	if e.change() == before {
		e.Error("nobody is told")
	}
	pub, err := e.ks.ReceiptKey(e.ctx)
	e.must(err)
	e.must(keys.VerifyReceipt(rs[0], pub))
	if r, err := e.ks.Sweep(e.ctx); !r.Empty() || err != nil {
		e.Errorf("swept %+v again, error %v", r, err)
	}
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "a"})
	e.is(err, keys.ErrRetentionOver)
	// Setting the clock back restores nothing.
	e.set(-25 * time.Hour)
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "a"})
	e.is(err, keys.ErrRetentionOver)
	got, err := e.ks.Project(e.ctx, "p")
	e.must(err)
	gens, err := e.ks.Generations(e.ctx, "p")
	e.must(err)
	if !got.Severed || got.SeveredAt.IsZero() || gens["b"][1].State != keys.Destroyed || gens["b"][1].Destroyed != got.SeveredAt {
		e.Errorf("after the sweep: %+v, %+v", got, gens["b"][1])
	}
	if len(e.blobs("p")) != 0 {
		e.Error("wrapped secrets are still on disk after the sweep")
	}
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "longer"})
	e.is(err, keys.ErrClock)
	e.set(25 * time.Hour)
	e.secrets(e.ks, "longer", "")

	// Several sweepers write one receipt.
	e.later(25 * time.Hour)
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 3 {
		ks := e.second()
		wg.Go(func() {
			rs, err := ks.Sweep(e.ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !errors.Is(err, keys.ErrTraces) {
				e.Error(err)
			}
			total += len(rs.Destroyed)
		})
	}
	wg.Wait()
	if total != 1 {
		e.Errorf("%d receipts for one project", total)
	}
	// The background sweeper destroys too.
	e.create("last")
	e.later(25 * time.Hour)
	ctx, stop := context.WithCancel(e.ctx)
	e.ks.Sweeper(ctx, time.Hour, func(swept keys.Swept, err error) {
		rs := swept.Destroyed
		if len(rs) != 1 || rs[0].Project != "last" || err != nil {
			e.Errorf("the sweeper reported %d receipts, error %v", len(rs), err)
		}
		stop()
	})
}

func testSever(e *env) {
	p := e.create("p", "a", "b")
	other := e.second()
	before := e.change()
	r, err := e.ks.Sever(e.ctx, "p")
	e.must(err)
	if e.change() == before {
		e.Error("nobody is told")
	}
	if r.V != 2 || r.Project != "p" || r.Reason != keys.ReasonSevered || r.Imported || !r.Retention.Equal(p.Retention) ||
		len(r.Orgs) != 2 || r.Orgs[0].Org != "a" || len(r.Orgs[0].Generations) != 1 || !r.Orgs[0].Generations[0].Created.Equal(p.Created) {
		e.Errorf("receipt %+v", r)
	}
	for _, ks := range []*keys.Keystore{e.ks, other} {
		_, err := ks.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "b"})
		e.is(err, keys.ErrSevered)
		e.is(ks.Rotate(e.ctx, "p"), keys.ErrSevered)
		e.is(ks.Shorten(e.ctx, "p", e.now()), keys.ErrSevered)
		_, err = ks.Sever(e.ctx, "p")
		e.is(err, keys.ErrSevered)
	}
	e.is(e.ks.CreateProject(e.ctx, e.project("p"), nil), keys.ErrExists)
	e.later(48 * time.Hour)
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "b"})
	e.is(err, keys.ErrSevered)
	if rs, err := e.ks.Sweep(e.ctx); !rs.Empty() || err != nil {
		e.Errorf("a sweep after severing did %+v, want nothing; error %v", rs, err)
	}
}

func testReceipts(e *env) {
	e.create("p", "<&>")
	e.create("q")
	r, err := e.ks.Sever(e.ctx, "p")
	e.must(err)
	_, err = e.ks.Sever(e.ctx, "q")
	e.must(err)
	pub, err := e.second().ReceiptKey(e.ctx)
	e.must(err)
	kept, err := e.second().Receipts(e.ctx, "p")
	e.must(err)
	all, err := e.ks.Receipts(e.ctx, "")
	e.must(err)
	if len(kept) != 1 || !reflect.DeepEqual(kept[0], r) || len(all) != 2 || all[1].Project != "q" {
		e.Fatalf("kept %+v, returned %+v; %d in all", kept, r, len(all))
	}
	for _, r := range all {
		e.must(keys.VerifyReceipt(r, pub))
	}
	if none, err := e.ks.Receipts(e.ctx, "\x00"); len(none) != 0 || err != nil {
		e.Error("an unknown project has receipts")
	}
}

func testNoTraces(e *env) {
	// There are enough rows that pages split and merge, and that a deleted row can
	// linger in a page that is otherwise in use.
	var doomed, living [][]byte
	for i := range 40 {
		name := fmt.Sprintf("project %02d", i)
		e.create(name, "a", "b", "c")
		if i%4 == 0 {
			e.must(e.ks.Rotate(e.ctx, name))
		}
	}
	reader := e.second() // stays open during the whole test
	for i := range 40 {
		name := fmt.Sprintf("project %02d", i)
		if i%2 == 0 {
			doomed = append(doomed, e.blobs(name)...)
		} else {
			living = append(living, e.blobs(name)...)
		}
	}
	if _, all := e.onDisk(doomed...); !all {
		e.Fatal("the search does not find a secret that is on disk")
	}
	for i := 0; i < 40; i += 2 {
		name := fmt.Sprintf("project %02d", i)
		if i%4 == 0 {
			e.must(e.ks.Rotate(e.ctx, name))
			doomed = append(doomed, e.blobs(name)...)
		}
		_, err := e.ks.Sever(e.ctx, name)
		e.must(err)
	}
	// No half of a secret is left either, which a split page might hold.
	for _, b := range slices.Clone(doomed) {
		doomed = append(doomed, b[:30], b[30:])
	}
	if any, _ := e.onDisk(doomed...); any {
		e.Error("a wrapped secret, or half of one, is still on disk")
	}
	if _, all := e.onDisk(living...); !all {
		e.Error("a living secret is gone")
	}
	if g := e.secrets(reader, "project 01", "c"); len(g) != 1 {
		e.Fatal("a living project lost its secret")
	}
}

// hookedStore is a store with one method replaced.
type hookedStore struct {
	keys.Store
	scrub func() error
	rows  func([]keys.KeyRow) []keys.KeyRow // changes those of organisation a
	view  bool                              // the store has no direct reads
	views int                               // calls of View
}

func (h *hookedStore) Scrub(ctx context.Context) error {
	if h.scrub != nil {
		if err := h.scrub(); err != nil {
			return err
		}
	}
	return h.Store.Scrub(ctx)
}

func (h *hookedStore) View(ctx context.Context, f func(keys.Tx) error) error {
	h.views++
	return h.Store.View(ctx, func(tx keys.Tx) error { return f(&hookedTx{tx, h}) })
}

type hookedTx struct {
	keys.Tx
	h *hookedStore
}

func (t *hookedTx) Keys(prj string) ([]keys.KeyRow, error) {
	rows, err := t.Tx.Keys(prj)
	return t.h.changed(rows), err
}

func (h *hookedStore) Domain(ctx context.Context, q keys.DomainQuery, r *keys.DomainRows) (bool, error) {
	if h.view {
		return false, nil
	}
	direct, err := h.Store.Domain(ctx, q, r)
	r.Keys = h.changed(r.Keys)
	return direct, err
}

// changed returns rows as the function of h leaves them.
func (h *hookedStore) changed(rows []keys.KeyRow) []keys.KeyRow {
	if h.rows == nil {
		return rows
	}
	var ofA, others []keys.KeyRow
	for _, k := range rows {
		if k.Org == "a" {
			ofA = append(ofA, k)
		} else {
			others = append(others, k)
		}
	}
	return append(h.rows(ofA), others...)
}

func testTracesTriedAgain(e *env) {
	e.create("p")
	blob := e.blobs("p")[0]
	broken := errors.New("a reader holds the file")
	h := &hookedStore{Store: e.store, scrub: func() error { return broken }}
	ks := e.join(h)
	r, err := ks.Sever(e.ctx, "p")
	e.is(err, keys.ErrTraces)
	if !errors.Is(err, broken) || r.Project != "p" || len(r.Signature) == 0 {
		e.Fatalf("error %v, receipt %+v", err, r)
	}
	_, err = ks.Secrets(e.ctx, keys.Domain{Prj: "p"})
	e.is(err, keys.ErrSevered)
	_, err = ks.Sweep(e.ctx)
	e.is(err, keys.ErrTraces)
	h.scrub = nil
	// The next sweep of any process scrubs.
	_, err = e.second().Sweep(e.ctx)
	e.must(err)
	if any, _ := e.onDisk(blob); any {
		e.Error("the next sweep has not removed the traces")
	}
	// A process destroys secrets while another one scrubs, and is killed before it scrubs
	// itself: the store must still be marked for scrubbing.
	e.create("q")
	e.create("r")
	blob = e.blobs("r")[0]
	h.scrub = func() error {
		h.scrub = func() error { return broken }
		_, err := ks.Sever(e.ctx, "r")
		e.is(err, keys.ErrTraces)
		h.scrub = nil
		return nil
	}
	_, err = ks.Sever(e.ctx, "q")
	e.must(err)
	scrubs := 0
	h.scrub = func() error { scrubs++; return nil }
	_, err = ks.Sweep(e.ctx)
	e.must(err)
	if any, _ := e.onDisk(blob); any || scrubs != 1 {
		e.Errorf("%d scrubs, or traces are left", scrubs)
	}
	h.scrub = func() error { return errors.New("called though there is nothing to do") }
	_, err = ks.Sweep(e.ctx)
	e.must(err)
}

// testScrubBesideReaders reads a project repeatedly while others are severed: no reader
// may find it without its secrets.
func testScrubBesideReaders(e *env) {
	e.create("p")
	secret := e.secrets(e.ks, "p", "")[0].Secret
	reader := e.second()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				g, err := reader.Secrets(e.ctx, keys.Domain{Prj: "p"})
				if err != nil || len(g) != 1 || g[0].Secret != secret {
					e.Errorf("%d generations, error %v", len(g), err)
					return
				}
			}
		})
	}
	for i := range 8 {
		name := fmt.Sprint(i)
		e.create(name)
		if _, err := e.ks.Sever(e.ctx, name); err != nil && !errors.Is(err, keys.ErrTraces) {
			e.Error(err)
		}
	}
	close(done)
	wg.Wait()
}

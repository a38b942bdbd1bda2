package audit

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// faulty is a file that fails as its faults say.
type faulty struct {
	osFile
	f *faults
}

type faults struct {
	mu        sync.Mutex
	free      int // bytes that can still be written; below 0: any number
	noTrunc   bool
	noReserve bool // space cannot be reserved
	syncErr   error
	syncs     int
	onSync    func()
	fullSize  int64 // size of the file at the last sync
}

func (f *faulty) Write(b []byte) (int, error) {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	if f.f.free < 0 || len(b) <= f.f.free {
		if f.f.free >= 0 {
			f.f.free -= len(b)
		}
		return f.File.Write(b)
	}
	n, err := f.osFile.Write(b[:f.f.free])
	f.f.free = 0
	if err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f *faulty) reserve(_, n int64) error {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	switch {
	case f.f.noReserve:
		return errNoReserve
	case f.f.free >= 0 && int64(f.f.free) < n:
		return syscall.ENOSPC
	}
	return nil
}

func (f *faulty) Truncate(size int64) error {
	if f.f.noTrunc {
		return syscall.EIO
	}
	return f.File.Truncate(size)
}

func (f *faulty) Sync() error {
	f.f.mu.Lock()
	f.f.syncs++
	err := f.f.syncErr
	if st, e := f.File.Stat(); e == nil {
		f.f.fullSize = st.Size()
	}
	hook := f.f.onSync
	f.f.mu.Unlock()
	if hook != nil {
		hook()
	}
	return err
}

func withFaults(t *testing.T) *faults {
	t.Helper()
	f := &faults{free: -1}
	old := openFile
	openFile = func(path string, flag int) (file, error) {
		o, err := os.OpenFile(path, flag, 0o600)
		if err != nil {
			return nil, err
		}
		return &faulty{osFile{o}, f}, nil
	}
	t.Cleanup(func() { openFile = old })
	return f
}

func (f *faults) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// TestFullDisk checks that a full disk leaves no half a record, that Err reports it, and that a
// gap record counts what was lost; if the half cannot be cut off, it is marked as torn.
func TestFullDisk(t *testing.T) {
	f := withFaults(t)
	path := newPath(t)
	l := open(t, path, Options{})
	add(t, l, "a", "b")
	before := read(t, path)
	for _, free := range []int{0, 1, 100, 300} {
		f.set(func() { f.free = free })
		err := l.Append(request("lost", true))
		if !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "audit: ") || !strings.Contains(err.Error(), path) {
			t.Fatalf("with %d bytes free: got %v, want ENOSPC with the path", free, err)
		}
		if !bytes.Equal(read(t, path), before) {
			t.Fatalf("with %d bytes free: half a record is left", free)
		}
		if !errors.Is(l.Err(), syscall.ENOSPC) || !errors.Is(l.Check(), syscall.ENOSPC) {
			t.Fatal("Err returns nil after a failed write")
		}
	}
	f.set(func() { f.free = -1 })
	if err := l.Check(); err != nil || l.Err() != nil {
		t.Fatal(err, l.Err())
	}
	add(t, l, "c")
	same(t, path, "a", "b", "gap", "c")
	if r := whole(t, path); r.Lost != 4 {
		t.Errorf("%+v", r)
	}

	// The half record cannot be cut off.
	f.set(func() { f.free, f.noTrunc = 50, true })
	if err := l.Append(request("lost", false)); !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	f.set(func() { f.free, f.noTrunc = -1, false })
	add(t, l, "d")
	same(t, path, "a", "b", "gap", "c", "(torn)", "recovered", "gap", "d")
	if r := whole(t, path); r.Lost != 5 || r.Torn != 1 {
		t.Errorf("%+v, want 5 lost records and one torn", r)
	}
}

// TestFullDiskDelayed checks that a full disk refuses delayed records too.
func TestFullDiskDelayed(t *testing.T) {
	f := withFaults(t)
	path := newPath(t)
	l := open(t, path, Options{Delay: time.Hour})
	add(t, l, "a", "b")
	f.set(func() { f.free = 10 })
	if err := l.Append(request("c", true)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	// Delayed records for which no space can be reserved are refused.
	if err := l.Append(request("d", false)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	f.set(func() { f.free = -1 })
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	add(t, l, "e")
	l.Close()
	same(t, path, "gap", "e")
	if r := whole(t, path); r.Lost != 4 {
		t.Errorf("%+v", r)
	}
}

// TestFullDiskRefusesFirstDelayedRecord checks that a delayed record is accepted only if its
// space is reserved, so that a full disk refuses the first call and not the one after the
// first write.
func TestFullDiskRefusesFirstDelayedRecord(t *testing.T) {
	f := withFaults(t)
	path := newPath(t)
	l := open(t, path, Options{Delay: time.Hour})
	f.set(func() { f.free = 0 })
	// Opening the log has reserved space for these records.
	for range 100 {
		add(t, l, "a")
	}
	l = open(t, newPath(t), Options{Delay: time.Hour})
	if err := l.Append(request("b", false)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the first call on a full disk: %v", err)
	}
	f.set(func() { f.free = -1 })
	add(t, l, "c") // accepted as soon as there is space
	same(t, l.path, "gap", "c")
}

// TestAppendWritesWithoutReservation checks that a record is written before Append returns if
// the file system cannot reserve space.
func TestAppendWritesWithoutReservation(t *testing.T) {
	f := withFaults(t)
	f.set(func() { f.noReserve = true })
	path := newPath(t)
	l := open(t, path, Options{Delay: time.Hour})
	add(t, l, "a", "b")
	same(t, path, "a", "b")
}

// TestSyncFails checks that a failed sync fails the calls that wait for it, and that the log
// works again once it can sync.
func TestSyncFails(t *testing.T) {
	f := withFaults(t)
	path := newPath(t)
	l := open(t, path, Options{})
	f.set(func() { f.syncErr = syscall.EIO })
	if err := l.Append(request("a", true)); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	if !errors.Is(l.Err(), syscall.EIO) || !errors.Is(l.Check(), syscall.EIO) {
		t.Error("Err returns nil after a failed sync")
	}
	if err := l.Append(request("b", true)); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	f.set(func() { f.syncErr = nil })
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	if err := l.Append(request("c", true)); err != nil || l.Err() != nil {
		t.Error(err, l.Err())
	}
	same(t, path, "a", "b", "c")
	whole(t, path)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestFullDiskStaysFull checks that a disk with space for a few records counts as full after it
// refused one: Append and Check keep failing.
func TestFullDiskStaysFull(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Hour} {
		for _, noReserve := range []bool{false, true} {
			f := withFaults(t)
			f.set(func() { f.noReserve = noReserve })
			path := newPath(t)
			l := open(t, path, Options{Delay: delay})
			add(t, l, "a")
			f.set(func() { f.free = 100 })
			if err := l.Append(request("lost", true)); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("got %v", err)
			}
			for range 20 {
				f.set(func() { f.free = 1000 }) // three records
				if err := l.Append(request("lost", false)); !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("delay %v: a full disk took a record: %v", delay, err)
				}
				f.set(func() { f.free = 1000 })
				if err := l.Check(); !errors.Is(err, syscall.ENOSPC) || l.Err() == nil {
					t.Fatalf("delay %v: the log says that it is well: %v", delay, err)
				}
			}
			f.set(func() { f.free = -1 })
			if err := l.Check(); err != nil {
				t.Fatal(err)
			}
			add(t, l, "b")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			whole(t, path)
			if got := ids(t, path); !slices.Equal(got, []string{"a", "gap", "b"}) && !slices.Equal(got, []string{"gap", "b"}) {
				t.Errorf("the log holds %q", got)
			}
		}
	}
}

// TestCheckReportsFullDisk checks that Check reports a full disk before a record is refused.
func TestCheckReportsFullDisk(t *testing.T) {
	f := withFaults(t)
	f.set(func() { f.free = 100 << 10 }) // too little to reserve
	l := open(t, newPath(t), Options{Delay: time.Hour})
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.free = 1000 })
	if err := l.Check(); !errors.Is(err, syscall.ENOSPC) || !errors.Is(l.Err(), syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}

// TestCheckReportsFullDiskDespiteReservation checks that Check reports a full disk although
// records still fit the reserved space.
func TestCheckReportsFullDiskDespiteReservation(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{Delay: time.Hour})
	old := freeSpace
	t.Cleanup(func() { freeSpace = old })
	freeSpace = func(string) (uint64, error) { return 1000, nil }
	if err := l.Check(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if err := l.Append(request("a", true)); err != nil || l.Err() != nil {
		t.Errorf("got %v, %v", err, l.Err())
	}
	freeSpace = func(string) (uint64, error) { return 0, errors.New("not known") }
	if err := l.Check(); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestCheckReportsFullDiskWithOldReservation checks that Check reports a full disk if only the
// rest of an earlier reservation is left.
func TestCheckReportsFullDiskWithOldReservation(t *testing.T) {
	f := withFaults(t)
	f.set(func() { f.free = 1 << 20 }) // a probe fits, another reservation does not
	path := newPath(t)
	l := open(t, path, Options{Delay: time.Hour})
	old := freeSpace
	t.Cleanup(func() { freeSpace = old })
	freeSpace = func(string) (uint64, error) { return 1000, nil }
	if err := l.Check(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	freeSpace = func(string) (uint64, error) { return 1 << 20, nil }
	if err := l.Check(); err != nil {
		t.Errorf("got %v", err)
	}
}

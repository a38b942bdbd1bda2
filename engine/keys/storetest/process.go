package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// Environment variables for child processes.
const (
	childAddress = "VELONYM_STORETEST_ADDRESS"
	childKey     = "VELONYM_STORETEST_KEY"
	childWhole   = "VELONYM_STORETEST_WHOLE"
	childRewrap  = "VELONYM_STORETEST_REWRAP" // the new master key, for testRewrapCrash
	childAhead   = "VELONYM_STORETEST_AHEAD"  // sweep with a clock that is ahead, and lease nothing
)

// Main runs the tests of a package that calls Run; TestMain calls it. Tests start their own
// binary again as a child process, for which at returns the location of an address.
func Main(m *testing.M, at func(address string) Location) int {
	address := os.Getenv(childAddress)
	if address == "" {
		return m.Run()
	}
	if err := child(address, at); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child leases until the budget is spent and prints each grant on a line, or sweeps three times
// and prints how many projects that destroyed.
func child(address string, at func(string) Location) error {
	ctx := context.Background()
	mk, err := keys.LoadMasterKey(ctx, os.Getenv(childKey))
	if err != nil {
		return err
	}
	s, err := at(address).Open()
	if err != nil {
		return err
	}
	if where := os.Getenv(childKill); where != "" {
		return killChild(ctx, s, where, at(os.Getenv(childRestore)))
	}
	if ahead, err := time.ParseDuration(os.Getenv(childAhead)); err == nil {
		return sweepAhead(ctx, s, mk, ahead)
	}
	whole, err := strconv.ParseInt(os.Getenv(childWhole), 10, 64)
	if err != nil {
		return err
	}
	ks, err := keys.New(ctx, s, mk)
	if err != nil {
		return err
	}
	defer ks.Close()
	if to := os.Getenv(childRewrap); to != "" {
		return rewrapChild(ctx, ks, to)
	}
	for {
		n, err := ks.Lease(ctx, "j", whole, 3)
		if err != nil || n == 0 {
			return err
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

func sweepAhead(ctx context.Context, s keys.Store, mk *keys.MasterKey, ahead time.Duration) error {
	ks, err := keys.New(ctx, s, mk, keys.WithClock(func() time.Time { return time.Now().Add(ahead) }))
	if err != nil {
		return err
	}
	defer ks.Close()
	destroyed := 0
	for range 3 {
		swept, err := ks.Sweep(ctx)
		if err != nil && !errors.Is(err, keys.ErrClock) {
			return err
		}
		destroyed += len(swept.Destroyed)
	}
	_, err = fmt.Println(destroyed)
	return err
}

// testTimeNamespace runs a process whose clock is ahead in a time namespace whose time since
// boot is ahead too. That must not count as observed time.
func testTimeNamespace(e *env) {
	const ahead = 20 * 24 * time.Hour
	if c, err := e.ks.Clock(e.ctx); err != nil || !c.Store.IsZero() {
		e.Skip("a process in a user namespace may not reach the database's socket, and its clock is refused anyway")
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		e.Skip("no unshare here")
	}
	inside := []string{"--user", "--map-current-user", "--time", "--boottime", strconv.Itoa(int(ahead / time.Second))}
	if out, err := exec.CommandContext(e.ctx, unshare, append(inside, "true")...).CombinedOutput(); err != nil {
		e.Skipf("time namespaces cannot be made here: %v: %s", err, out)
	}
	s, err := e.location.Open()
	e.must(err)
	ks, err := keys.New(e.ctx, s, e.mk) // with the real clocks
	e.must(err)
	defer ks.Close()
	e.must(ks.CreateProject(e.ctx, e.project("p"), nil))
	cmd := e.child(0)
	cmd.Args = append(append([]string{unshare}, inside...), cmd.Path)
	cmd.Path = unshare
	cmd.Env = append(cmd.Env, childAhead+"="+ahead.String())
	out, err := cmd.Output()
	if err != nil || strings.TrimSpace(string(out)) != "0" || len(e.blobs("p")) != 1 {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			e.Logf("%s", failed.Stderr)
		}
		e.Errorf("destroyed %q, error %v", out, err)
	}
}

func (e *env) child(whole int64) *exec.Cmd {
	e.Helper()
	self, err := os.Executable()
	e.must(err)
	cmd := exec.CommandContext(e.ctx, self)
	cmd.Env = append(os.Environ(), childAddress+"="+e.location.Address(), childKey+"="+e.keyAt, childWhole+"="+strconv.FormatInt(whole, 10))
	return cmd
}

// awaitEnd waits until the store has ended what killed processes asked of it.
func (e *env) awaitEnd() {
	e.Helper()
	if l, ok := e.location.(interface{ AwaitIdle() error }); ok {
		e.must(l.AwaitIdle())
	}
}

func sum(out string) (total int64) {
	for _, f := range strings.Fields(out) {
		n, _ := strconv.ParseInt(f, 10, 64)
		total += n
	}
	return total
}

func testLeaseProcesses(e *env) {
	const whole = 200
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total int64
	for range 3 {
		cmd := e.child(whole)
		wg.Go(func() {
			out, err := cmd.Output()
			if err != nil {
				e.Errorf("child: %v", err)
			}
			mu.Lock()
			total += sum(string(out))
			mu.Unlock()
		})
	}
	wg.Wait()
	if total != whole {
		e.Errorf("granted %d of %d", total, whole)
	}
}

// testLeaseCrash kills processes while they lease. Every grant is spent, reported or not,
// and nothing is granted twice.
func testLeaseCrash(e *env) {
	const whole = 1 << 20
	var heard int64
	for range 4 {
		cmd := e.child(whole)
		out, err := cmd.StdoutPipe()
		e.must(err)
		e.must(cmd.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			heard += sum(lines.Text())
			if n == 10 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
	}
	e.awaitEnd()
	var spent int64
	e.must(e.store.View(e.ctx, func(tx keys.Tx) (err error) {
		spent, err = tx.Spent("j")
		return err
	}))
	// The last grant of each process may be unreported.
	if heard == 0 || spent < heard || spent > heard+4*3 {
		e.Errorf("the children reported %d values, the store counts %d spent", heard, spent)
	}
	e.lease(e.ks, "j", spent+5, 100, 5)
}

package storetest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/velonym/velonym/engine/keys"
)

// Environment of a child process.
const (
	childAddress = "VELONYM_STORETEST_ADDRESS"
	childKey     = "VELONYM_STORETEST_KEY"
	childWhole   = "VELONYM_STORETEST_WHOLE"
)

// Main runs the tests of a package that calls Run; TestMain calls it. Where the
// test starts its own binary again as a second process, open gives that process
// the store at an address.
func Main(m *testing.M, open func(ctx context.Context, address string) (keys.Store, error)) int {
	address := os.Getenv(childAddress)
	if address == "" {
		return m.Run()
	}
	if err := child(address, open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child leases until the budget is spent, and says each grant on a line.
func child(address string, open func(context.Context, string) (keys.Store, error)) error {
	ctx := context.Background()
	whole, err := strconv.ParseInt(os.Getenv(childWhole), 10, 64)
	if err != nil {
		return err
	}
	mk, err := keys.LoadMasterKey(ctx, os.Getenv(childKey))
	if err != nil {
		return err
	}
	s, err := open(ctx, address)
	if err != nil {
		return err
	}
	ks, err := keys.New(ctx, s, mk)
	if err != nil {
		return err
	}
	defer ks.Close()
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

func (e *env) child(whole int64) *exec.Cmd {
	e.Helper()
	self, err := os.Executable()
	e.must(err)
	cmd := exec.CommandContext(e.ctx, self)
	cmd.Env = append(os.Environ(), childAddress+"="+e.location.Address(), childKey+"="+e.keyAt, childWhole+"="+strconv.FormatInt(whole, 10))
	return cmd
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

// testLeaseCrash kills processes in the middle. What they were granted is spent,
// heard of or not; nothing is granted twice.
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
	var spent int64
	e.must(e.store.View(e.ctx, func(tx keys.Tx) (err error) {
		spent, err = tx.Spent("j")
		return err
	}))
	// The last grant of each may not have been heard of.
	if heard == 0 || spent < heard || spent > heard+4*3 {
		e.Errorf("heard of %d, %d are spent", heard, spent)
	}
	e.lease(e.ks, "j", spent+5, 100, 5)
}

package doctor

import (
	"context"
	"math"

	"github.com/velonym/velonym/engine/kernel/secmem"
)

// enoughLocked is the memory that a server with many projects locks for keys.
const enoughLocked = 8 << 20

// checkKeyMemory tries to lock memory for keys.
func checkKeyMemory(context.Context, *patient) []Result {
	const (
		check  = "key-memory"
		remedy = "raise the limit: ulimit -l, LimitMEMLOCK= of systemd, --ulimit memlock of containers"
	)
	b, err := secmem.Alloc(1)
	if err != nil {
		return []Result{fail(check, "give the process memory", "%v", err)}
	}
	defer secmem.Free(b)
	limit, known := lockLimit()
	limitText := "not known"
	switch {
	case known && limit == math.MaxUint64:
		limitText = "none"
	case known:
		limitText = size(limit)
	}
	if refused := secmem.Status().LockErr; refused != nil {
		if on, known := swaps(); known && !on {
			return []Result{warn(check, remedy, "memory for keys cannot be locked (%v, limit %s); there is no swap that it could be written to", refused, limitText)}
		}
		return []Result{fail(check, remedy, "memory for keys cannot be locked (%v, limit %s): keys may be written to swap", refused, limitText)}
	}
	if known && limit < enoughLocked {
		return []Result{warn(check, remedy, "locked, but the limit is %s: a server with many projects wants %s", limitText, size(enoughLocked))}
	}
	return []Result{ok(check, "locked; limit %s", limitText)}
}

// checkDumps says whether the system may write this program's memory to a file.
func checkDumps(_ context.Context, p *patient) []Result {
	const check = "core-dumps"
	switch p.Dumps {
	case "off":
		return []Result{ok(check, "off for velonym, whatever the system's limits are")}
	case "allowed":
		return []Result{warn(check, "leave VELONYM_ALLOW_DUMPS out where it is not needed", "on: a crash may write values, though no keys, to a core dump")}
	}
	return []Result{skip(check, "velonym does not turn them off on this system; see its own settings")}
}

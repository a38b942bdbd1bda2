// Package panics turns a panic into an error that names its position in the program and shows no
// data.
package panics

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// Error is a broken invariant of this program.
type Error struct {
	// Where lists the innermost calls, "function (file:line)", the panicking one first.
	Where []string
	// What is the runtime's description, which holds only numbers and types; "" for any
	// other panic, since its text may hold a value.
	What string
}

// innermost is the number of calls that are named.
const innermost = 5

// Error describes the panic in one line.
func (e *Error) Error() string {
	s := "internal error"
	if e.What != "" {
		s += ": " + e.What
	}
	if len(e.Where) > 0 {
		s += ", at " + strings.Join(e.Where, " < ")
	}
	return s + "; this is a fault of the program: please report this line"
}

// Recover sets *err to an *Error if the function that deferred it panics. It must be
// deferred itself: `defer panics.Recover(&err)`.
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = New(p)
	}
}

// New describes the panic p. The deferred function that has recovered it must call New
// itself, on the panicking goroutine's stack.
func New(p any) *Error {
	e := &Error{}
	// Only types of package runtime: others may implement runtime.Error too.
	if r, ok := p.(runtime.Error); ok && strings.HasPrefix(strings.TrimPrefix(fmt.Sprintf("%T", p), "*"), "runtime.") {
		e.What = strings.TrimPrefix(r.Error(), "runtime error: ")
	}
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for more := true; more && len(e.Where) < innermost; {
		var f runtime.Frame
		f, more = frames.Next()
		if f.Function == "" || strings.HasPrefix(f.Function, "runtime.") {
			continue
		}
		e.Where = append(e.Where, fmt.Sprintf("%s (%s:%d)", f.Function[strings.LastIndexByte(f.Function, '/')+1:], filepath.Base(f.File), f.Line))
	}
	return e
}

package keys

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"
)

// boundedBuffer is a writer into memory that is allocated once, so that wiping it leaves
// no copy behind. A write beyond its capacity fails.
type boundedBuffer struct{ b []byte }

var errTooLong = errors.New("keys: output too long")

func (w *boundedBuffer) Write(p []byte) (int, error) {
	if len(p) > cap(w.b)-len(w.b) {
		return 0, errTooLong
	}
	w.b = append(w.b, p...)
	return len(p), nil
}

// runKeyCommand returns the standard output of a command, at most maxKeySource bytes.
func runKeyCommand(ctx context.Context, command string) ([]byte, error) {
	if command == "" {
		return nil, fmt.Errorf("%w: exec: without a command", ErrMasterKey)
	}
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	shell, flag := "/bin/sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	out := &boundedBuffer{b: make([]byte, 0, maxKeySource)}
	cmd := exec.CommandContext(ctx, shell, flag, command)
	cmd.Stdout = out
	// A child that inherited the pipe must not block us after the shell has ended.
	cmd.WaitDelay = time.Second
	newProcessGroup(cmd)
	err := cmd.Run()
	switch {
	case err == nil:
		return out.b, nil
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: the exec: command did not end in time", ErrMasterKey)
	default:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: the exec: command failed (%s): run it by hand to see what it says", ErrMasterKey, exit.ProcessState)
		} else if errors.Is(err, errTooLong) {
			err = fmt.Errorf("%w: the exec: command wrote more than %d bytes", ErrMasterKey, maxKeySource)
		} else {
			err = fmt.Errorf("%w: running the exec: command: %w", ErrMasterKey, err)
		}
	}
	wipe(out.b)
	return nil, err
}

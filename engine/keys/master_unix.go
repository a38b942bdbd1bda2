//go:build unix

package keys

import (
	"os/exec"
	"syscall"
)

// newProcessGroup makes a timeout end the command's children too.
func newProcessGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Listen opens the listener that address names: host:port, unix:/path for a socket in the
// file system (mode 0660; a socket without a listening process is replaced), "systemd" for
// the first socket that systemd passes, or "systemd:NAME" for the one with that
// FileDescriptorName.
func Listen(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listenUnix(path)
	}
	if address == "systemd" || strings.HasPrefix(address, "systemd:") {
		_, name, _ := strings.Cut(address, ":")
		return activated(name)
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // MPTCP sockets take no filter, which Shutdown attaches
	ln, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return ln, nil
}

func listenUnix(path string) (net.Listener, error) {
	if path == "" {
		return nil, errors.New("server: unix: name the socket's path")
	}
	if fi, err := os.Lstat(path); err == nil {
		if fi.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("server: %s is there and is no socket; name another path", path)
		}
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("server: another process listens on %s", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("server: a socket left behind: %w", err)
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		ln.Close()
		return nil, fmt.Errorf("server: %w", err)
	}
	return ln, nil
}

// firstActivated is the descriptor of the first socket that systemd passes
// (sd_listen_fds(3)).
const firstActivated = 3

// activated returns the listener of a socket that systemd passed.
func activated(name string) (net.Listener, error) {
	none := errors.New("server: systemd handed over no such socket; start the service from its .socket unit")
	if pid, err := strconv.Atoi(os.Getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return nil, none
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil, none
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range n {
		if name != "" && (i >= len(names) || names[i] != name) {
			continue
		}
		fd := firstActivated + i
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "systemd")
		ln, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("server: socket from systemd: %w", err)
		}
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // systemd owns it
		}
		return handedOver{ln}, nil
	}
	return nil, none
}

// handedOver is a listener that systemd keeps open: the next process accepts what waits in
// its queue.
type handedOver struct{ net.Listener }

// blockNewConns keeps new connections out of the queue of ln and reports whether it could.
func blockNewConns(ln net.Listener) bool {
	switch ln := ln.(type) {
	case *net.TCPListener:
		return dropSYN(ln)
	case *net.UnixListener:
		// Without its name nobody can connect.
		return os.Remove(ln.Addr().String()) == nil
	}
	return false
}

// Notify tells systemd about the service (sd_notify(3)), as "READY=1" or
// "STOPPING=1". Without systemd it does nothing.
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if path[0] == '@' { // the abstract namespace
		path = "\x00" + path[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("server: notify: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("server: notify: %w", err)
	}
	return nil
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/velonym/velonym/engine/keys"
)

// confirmWithin is the remaining retention below which a command asks for confirmation:
// with a mistaken unit the keys would end within minutes.
const confirmWithin = 24 * time.Hour

// confirmEnd writes to standard error when the keys of a project end. It then requires
// --yes or, on a terminal, the typed name of the project. On error the caller must not
// change anything.
func confirmEnd(cmd *cobra.Command, yes bool, p keys.Project, end time.Time) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "project %s: its %s, in %s: nobody can reverse its pseudonyms from then on, and the end cannot be put off again\n",
		p.Name, endText(end, p.Grace), roughly(time.Until(end)))
	if yes {
		return nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usagef("project %s: nothing was changed: say --yes if that end is meant", cmd.Name())
	}
	fmt.Fprint(cmd.ErrOrStderr(), "Type the name of the project to go on: ")
	typed, err := readLine(cmd.Context(), in)
	if err != nil {
		fmt.Fprintln(cmd.ErrOrStderr())
		return fmt.Errorf("project %s: nothing was changed: no name was typed", cmd.Name())
	}
	if typed != p.Name {
		return fmt.Errorf("project %s: nothing was changed: that is not the name of the project", cmd.Name())
	}
	return nil
}

// endText describes when keys end, and the grace before they are destroyed.
func endText(end time.Time, grace time.Duration) string {
	if grace == 0 {
		return "keys are destroyed on " + localTime(end)
	}
	return fmt.Sprintf("keys end (%s before they are destroyed) on %s", spanText(grace), localTime(end))
}

// readLine reads one line without its line end. It returns early when the context ends;
// the pending read cannot be interrupted and its goroutine remains.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type read struct {
		line string
		err  error
	}
	got := make(chan read, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
		got <- read{strings.TrimRight(line, "\r\n"), err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case g := <-got:
		return g.line, g.err
	}
}

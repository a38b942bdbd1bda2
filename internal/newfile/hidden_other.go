//go:build !linux

package newfile

import (
	"errors"
	"os"
)

func openNameless(string) *os.File { return nil }

func name(*os.File, string) error { return errors.ErrUnsupported }

//go:build !unix

package doctor

import "os"

const modesMatter = false

func owners(os.FileInfo) (owner, me int, known bool) { return 0, 0, false }

func mayWrite(string) error { return nil }

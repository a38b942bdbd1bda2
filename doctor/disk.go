package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/velonym/velonym/engine/keys/postgres"
)

// Free space of a disk that is too little to go on, and that is little.
const (
	tooFull = 64 << 20
	full    = 1 << 30
)

// checkDisks looks at the free space where velonym writes.
func checkDisks(_ context.Context, p *patient) []Result {
	var all []Result
	if postgres.IsAddress(p.Keystore) {
		all = append(all, skip("disk-keystore", "the keystore is a database: its disk is looked at there"))
	} else {
		// Destroying keys rewrites the file, which takes its size once more, twice in
		// all with the write-ahead log.
		need := uint64(0)
		if st, err := os.Stat(p.Keystore); err == nil {
			need = 2 * uint64(st.Size())
		}
		all = append(all, disk("disk-keystore", filepath.Dir(p.Keystore), need, "keys cannot be destroyed, budgets not spent"))
	}
	if p.Audit != "" {
		all = append(all, disk("disk-audit", filepath.Dir(p.Audit), 0, "a server refuses every call"))
	}
	for _, dir := range p.Outputs {
		all = append(all, disk("disk-output", dir, 0, "runs fail; an output stands twice there only while it is compressed anew"))
	}
	return all
}

// disk checks one folder's disk, which needs so much and then some.
func disk(check, dir string, need uint64, when string) Result {
	s, err := spaceOf(dir)
	if err != nil {
		return skip(check, "%s: %v", dir, err)
	}
	about := fmt.Sprintf("%s of %s free at %s", size(s.free), size(s.total), dir)
	const remedy = "make room there, or use a larger disk"
	switch {
	case s.readOnly:
		return fail(check, "mount it for writing, or name another place", "the disk of %s is mounted read-only", dir)
	case s.inodes == 0 && s.allInodes > 0:
		return fail(check, "remove files there: it has no room for another name", "no inodes are free at %s", dir)
	case s.free < tooFull+need:
		return fail(check, remedy, "%s: when it is full, %s", about, when)
	case s.free < full+need:
		return warn(check, remedy, "%s: when it is full, %s", about, when)
	}
	return ok(check, "%s", about)
}

// space is what a disk has, in bytes and files.
type space struct {
	free, total       uint64
	inodes, allInodes uint64
	readOnly          bool
}

// size writes bytes for people.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	v, u := float64(n)/1024, 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[u])
}

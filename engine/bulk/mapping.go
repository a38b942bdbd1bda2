package bulk

import (
	"fmt"
	"io"

	"filippo.io/age"

	"github.com/velonym/velonym/engine/suite"
)

// mappingFile is the file of identifier, pseudonym pairs, encrypted with age before anything
// reaches the disk.
type mappingFile struct {
	t *target
	w io.WriteCloser
}

// openMapping creates the file of Job.Mapping and writes its CSV header.
func (r *run) openMapping() (*mappingFile, error) {
	t, err := r.openTarget(r.Mapping, nil, false)
	if err != nil {
		return nil, err
	}
	w, err := age.Encrypt(t.f, r.Recipients...)
	if err == nil {
		_, err = io.WriteString(w, "input,output\n")
	}
	if err != nil {
		t.discard()
		return nil, fmt.Errorf("cannot seal %s: %w", r.Mapping, err)
	}
	return &mappingFile{t, w}, nil
}

func (m *mappingFile) write(rows []byte) error {
	if _, err := m.w.Write(rows); err != nil {
		return m.t.writeError(err)
	}
	return nil
}

func (m *mappingFile) finish() error {
	if err := m.w.Close(); err != nil {
		return m.t.writeError(err)
	}
	return m.t.finish()
}

func (m *mappingFile) commit(force bool) error { return m.t.commit(force) }

func (m *mappingFile) discard() { m.t.discard() }

// appendPairs appends the rows of a mapping file for the values of a batch that were
// transformed.
func appendPairs(dst []byte, t *suite.Batch) []byte {
	bad := t.Bad
	for i := 0; i < len(t.Spans)/2; i++ {
		if len(bad) > 0 && bad[0].Index == i {
			bad = bad[1:]
			continue
		}
		if t.Spans[2*i+1] == 0 {
			continue
		}
		dst = mapDialect.AppendField(dst, t.Src[t.Spans[2*i]:][:t.Spans[2*i+1]], false)
		dst = append(dst, ',')
		dst = mapDialect.AppendField(dst, t.Dst[t.Out[2*i]:][:t.Out[2*i+1]], false)
		dst = append(dst, '\n')
	}
	return dst
}

package bulk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// manifest records what a run did to which columns of which files.
type manifest struct {
	Manifest int              `json:"velonym_manifest"` // version of this format: 1
	Version  string           `json:"version"`
	Suite    string           `json:"suite"`
	Time     time.Time        `json:"time"`
	Inputs   []manifestFile   `json:"inputs"`
	Outputs  []manifestFile   `json:"outputs"`
	Columns  []manifestColumn `json:"columns"`
	OnError  OnError          `json:"on_error"`
	Part     int              `json:"part,omitempty"`
	Parts    int              `json:"parts,omitempty"`
	Rows     int64            `json:"rows"`
	Values   int64            `json:"values"`
	Empty    int64            `json:"empty"`
	Errors   int64            `json:"errors"`
	Rejected int64            `json:"rejected"`
}

type manifestFile struct {
	Name   string `json:"name"` // of an output: its base name; of an input: the path as given
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

type manifestColumn struct {
	Name   string            `json:"name"`
	Number int               `json:"number,omitempty"`
	What   map[string]string `json:"what,omitempty"`
}

// ManifestName is the name of the manifest of an output.
func ManifestName(output string) string { return output + ".velonym.json" }

// makeManifest digests the inputs and the outputs, which are complete but not yet renamed.
func (r *run) makeManifest(ctx context.Context) (*manifest, error) {
	m := &manifest{Manifest: 1, Version: r.Version, Suite: "a256-1", Time: time.Now().UTC().Truncate(time.Second),
		OnError: r.OnError, Part: r.Part, Parts: r.Parts,
		Rows: r.sum.Rows, Values: r.sum.Values, Empty: r.sum.Empty, Errors: r.sum.Errors, Rejected: r.sum.Rejected}
	for _, c := range r.Columns {
		m.Columns = append(m.Columns, manifestColumn{c.Name, c.Number, c.Describe})
	}
	for _, in := range r.Inputs {
		f, err := digestFile(ctx, in, in)
		if err != nil {
			return nil, err
		}
		m.Inputs = append(m.Inputs, f)
	}
	for _, t := range r.targets {
		f, err := digestFile(ctx, t.temp, filepath.Base(t.given))
		if err != nil {
			return nil, err
		}
		m.Outputs = append(m.Outputs, f)
	}
	return m, nil
}

// write writes the manifest beside the first output.
func (m *manifest) write(path string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic("bulk: " + err.Error())
	}
	if err := replaceFile(path, append(b, '\n')); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, bareErr(err))
	}
	return nil
}

// digestFile returns the size and digest of the file at path.
func digestFile(ctx context.Context, path, name string) (manifestFile, error) {
	f, err := openRegular(path)
	if err != nil {
		return manifestFile{}, err
	}
	defer f.Close()
	h := sha256.New()
	var n int64
	for {
		k, err := io.CopyN(h, f, 16<<20)
		n += k
		if ctx.Err() != nil {
			return manifestFile{}, ErrInterrupted
		}
		if err == io.EOF {
			return manifestFile{name, n, hex.EncodeToString(h.Sum(nil))}, nil
		}
		if err != nil {
			return manifestFile{}, fmt.Errorf("%s: %w", path, bareErr(err))
		}
	}
}

// Check reads the manifest at path and compares the files it names with it: the outputs
// beside it and those inputs that still exist. report has a line for each file. The error
// is not nil if a file differs or an output is missing.
func Check(ctx context.Context, path string) (report []string, err error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	f.Close()
	if err != nil {
		return nil, plainPathError(err)
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil || m.Manifest != 1 {
		return nil, fmt.Errorf("%s: is no manifest that this version reads", path)
	}
	bad := 0
	check := func(kind, at string, f manifestFile, must bool) error {
		got, err := digestFile(ctx, at, f.Name)
		switch {
		case err == ErrInterrupted:
			return err
		case err != nil && must:
			bad++
			report = append(report, fmt.Sprintf("%s %s: %v", kind, f.Name, err))
		case err != nil:
			report = append(report, fmt.Sprintf("%s %s: not here, not checked", kind, f.Name))
		case got != f:
			bad++
			report = append(report, fmt.Sprintf("%s %s: differs", kind, f.Name))
		default:
			report = append(report, fmt.Sprintf("%s %s: as described", kind, f.Name))
		}
		return nil
	}
	for _, f := range m.Inputs {
		if err := check("input", f.Name, f, false); err != nil {
			return report, err
		}
	}
	for _, f := range m.Outputs {
		if err := check("output", filepath.Join(filepath.Dir(path), f.Name), f, true); err != nil {
			return report, err
		}
	}
	if bad > 0 {
		return report, fmt.Errorf("%s: %d of %d files differ or are missing", path, bad, len(m.Inputs)+len(m.Outputs))
	}
	return report, nil
}

package bulk

import (
	"context"
	"os"
	"path/filepath"
)

// outputs returns the path of the output of each input.
func (r *run) outputs() ([]string, error) {
	if r.Output != "-" {
		if st, err := os.Stat(r.Output); err == nil && st.IsDir() {
			var out []string
			taken := map[string]bool{}
			for _, in := range r.Inputs {
				if in == "-" {
					return nil, usagef("standard input has no name to give its output in folder %s; name a file", r.Output)
				}
				name := filepath.Base(in)
				if r.Compress != AutoCompression {
					if c := bySuffix(name); c != None {
						name = name[:len(name)-len(filepath.Ext(name))]
					}
					name += r.Compress.suffix()
				}
				if taken[name] {
					return nil, usagef("two inputs are named %s; their outputs would be one", name)
				}
				taken[name] = true
				out = append(out, filepath.Join(r.Output, name))
			}
			return out, nil
		}
	}
	if len(r.Inputs) > 1 && !r.DryRun {
		return nil, ErrFolderNeeded
	}
	out := make([]string, len(r.Inputs))
	for i := range out {
		out[i] = r.Output
	}
	return out, nil
}

// checkInputs opens each of several inputs, reads its head and checks the name of its output
// before anything is written, so that an error in the last one does not waste the work on
// the others. It skips pipes, which can be read only once.
func (r *run) checkInputs(ctx context.Context, outs []string) error {
	if len(r.Inputs) < 2 {
		return nil
	}
	r.checkOnly = true
	defer func() { r.checkOnly, r.sum.Inputs = false, nil }()
	for i, in := range r.Inputs {
		if st, err := os.Stat(in); in == "-" || err == nil && !st.Mode().IsRegular() && !st.IsDir() {
			continue
		}
		if err := r.processInput(ctx, in, outs[i]); err != nil {
			return err
		}
		if outs[i] == "-" || r.DryRun {
			continue
		}
		path, err := resolveLink(outs[i])
		if err == nil {
			err = checkFree(path, r.Force)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openSideFiles opens the mapping file and the file of rejected rows.
func (r *run) openSideFiles() (err error) {
	if r.Mapping != "" {
		if err := r.checkSame(r.Mapping); err != nil {
			return err
		}
		if r.mapping, err = r.openMapping(); err != nil {
			return err
		}
	}
	if r.Rejects != "" && !r.DryRun {
		if err := r.checkSame(r.Rejects); err != nil {
			return err
		}
		var info os.FileInfo
		if st, err := os.Stat(r.Inputs[0]); err == nil {
			info = st
		}
		if r.rejects, err = r.openTarget(r.Rejects, info, r.Resume); err != nil {
			return err
		}
	}
	return nil
}

// checkSame refuses an output that is the same file as an input, under any name.
func (r *run) checkSame(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return nil // it does not exist, or openTarget reports the error
	}
	return r.checkSameInfo(path, st)
}

func (r *run) checkSameInfo(path string, st os.FileInfo) error {
	for _, in := range r.Inputs {
		var info os.FileInfo
		var err error
		if in == "-" {
			f, ok := r.Stdin.(*os.File)
			if r.Stdin == nil {
				f, ok = os.Stdin, true
			}
			if !ok {
				continue
			}
			info, err = f.Stat()
		} else {
			info, err = os.Stat(in)
		}
		if err == nil && info.Mode().IsRegular() && os.SameFile(info, st) {
			return usagef("%s is an input too; write to another file", path)
		}
	}
	return nil
}

package bulk

import (
	"context"
	"os"
	"path/filepath"
)

// outputs names the output of each input.
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

// lookAtAll opens each of several inputs, reads its head and checks its output's name
// before anything is written, so that the last one's fault does not cost the work on
// those before it. What can be read only once, such as a pipe, is left for its turn.
func (r *run) lookAtAll(ctx context.Context, outs []string) error {
	if len(r.Inputs) < 2 {
		return nil
	}
	r.looking = true
	defer func() { r.looking, r.sum.Inputs = false, nil }()
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
		path, err := behindLink(outs[i])
		if err == nil {
			err = checkFree(path, r.Force)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openSides opens the files beside the outputs.
func (r *run) openSides() (err error) {
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

// checkSame refuses to write over an input, by whatever name.
func (r *run) checkSame(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return nil // not there, or openTarget will say
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

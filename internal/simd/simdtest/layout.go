package simdtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// Layout compares the offsets in a generator of assembly with the Go struct that the assembly reads
// or writes. dir is the generator's folder. For every field of the struct except those named _, the
// generator must have a constant whose name is prefix and the field's name with a capital, and whose
// value is the field's offset. A constant with prefix and Size must be the struct's size.
func Layout(t *testing.T, dir, prefix string, block any) {
	t.Helper()
	constants := generatorConstants(t, dir)
	s := reflect.TypeOf(block)
	for i := range s.NumField() {
		f := s.Field(i)
		if f.Name == "_" {
			continue
		}
		name := prefix + strings.ToUpper(f.Name[:1]) + f.Name[1:]
		if at, ok := constants[name]; !ok {
			t.Errorf("%s has no constant %s for a field of %s", dir, name, s)
		} else if at != f.Offset {
			t.Errorf("%s.%s is at %d, the generator has it at %d", s, f.Name, f.Offset, at)
		}
	}
	if size, ok := constants[prefix+"Size"]; ok && size != s.Size() {
		t.Errorf("%s has %d bytes, the generator goes by %d", s, s.Size(), size)
	}
}

// generatorConstants returns the named integer constants of a package.
func generatorConstants(t *testing.T, dir string) map[string]uintptr {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no generator in %s: %v", dir, err)
	}
	constants := map[string]uintptr{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.CONST {
				continue
			}
			for _, s := range decl.Specs {
				spec := s.(*ast.ValueSpec)
				for i, value := range spec.Values {
					if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.INT {
						if n, err := strconv.ParseUint(literal.Value, 0, 63); err == nil {
							constants[spec.Names[i].Name] = uintptr(n)
						}
					}
				}
			}
		}
	}
	return constants
}

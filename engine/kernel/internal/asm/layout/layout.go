// Package layout reads offsets in argument blocks and tables from the Go structs that
// declare them, so that no generator states an offset of its own.
package layout

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"
)

// Struct holds the offsets of the fields of a Go struct on amd64 and arm64.
type Struct struct {
	name    string
	offsets map[string]int
	// Size is the size of the struct in bytes.
	Size int
}

// Of reads the struct with the given name from a package below engine/kernel. It must
// be declared the same on every platform. Generators run in engine/kernel/internal/asm/x.
func Of(pkg, name string) Struct {
	s, err := read(pkg, name)
	if err != nil {
		fmt.Fprintf(os.Stderr, "layout of %s.%s: %v\n", pkg, name, err)
		os.Exit(1)
	}
	return s
}

// At returns the offset of a field; field is "outer.inner" for a field of a field.
func (s Struct) At(field string) int {
	off, ok := s.offsets[field]
	if !ok {
		fmt.Fprintf(os.Stderr, "layout: %s has no field %s\n", s.name, field)
		os.Exit(1)
	}
	return off
}

var sizes = types.SizesFor("gc", "amd64")

func read(pkg, name string) (Struct, error) {
	s := Struct{name: name, offsets: map[string]int{}}
	p, err := loader{}.Import(module + "engine/kernel/" + pkg)
	if err != nil {
		return s, err
	}
	object := p.Scope().Lookup(name)
	if object == nil {
		return s, fmt.Errorf("no such type")
	}
	t, ok := object.Type().Underlying().(*types.Struct)
	if !ok || strings.Contains(t.String(), "invalid type") {
		return s, fmt.Errorf("is no struct, or has a field of a type that another module declares")
	}
	s.add("", 0, t)
	s.Size = int(sizes.Sizeof(t))
	return s, nil
}

// module is the prefix of the import paths that a loader reads, root their directory.
const module = "github.com/velonym/velonym/"

var root = filepath.Join("..", "..", "..", "..", "..")

// loader reads the declarations of packages of this module only.
type loader map[string]*types.Package

func (l loader) Import(path string) (*types.Package, error) {
	rel, ours := strings.CutPrefix(path, module)
	if !ours {
		return nil, fmt.Errorf("%s is not read", path)
	}
	if p := l[path]; p != nil {
		return p, nil
	}
	context := build.Default
	context.GOOS, context.GOARCH, context.CgoEnabled = "linux", "amd64", false
	dir := filepath.Join(root, filepath.FromSlash(rel))
	list, err := context.ImportDir(dir, 0)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, f := range list.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(dir, f), nil, 0)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	// Declarations of other modules stay unknown, which is no error here.
	config := types.Config{Sizes: sizes, IgnoreFuncBodies: true, Importer: l, Error: func(error) {}}
	l[path], _ = config.Check(path, fset, files, nil)
	return l[path], nil
}

func (s *Struct) add(prefix string, base int64, t *types.Struct) {
	fields := make([]*types.Var, t.NumFields())
	for i := range fields {
		fields[i] = t.Field(i)
	}
	for i, off := range sizes.Offsetsof(fields) {
		f := fields[i]
		s.offsets[prefix+f.Name()] = int(base + off)
		if inner, ok := f.Type().Underlying().(*types.Struct); ok {
			s.add(prefix+f.Name()+".", base+off, inner)
		}
	}
}

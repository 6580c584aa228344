package test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines is for a source file. One that long has two subjects.
const maxLines = 500

// TestStyle holds the source to what no linter checks the way we mean it.
func TestStyle(t *testing.T) {
	t.Parallel()
	packages := map[string]map[string][]byte{} // by directory and package name
	for _, name := range sourceFiles(t) {
		src, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(src, []byte("\n")); lines > maxLines && !generated.Match(src) {
			t.Errorf("%s has %d lines, at most %d", name, lines, maxLines)
		}
		if path.Ext(name) != ".go" {
			continue
		}
		// Tests see the package's variables, so they are looked at together with it.
		dir := path.Dir(name)
		if packages[dir] == nil {
			packages[dir] = map[string][]byte{}
		}
		packages[dir][name] = src
	}
	for _, files := range packages {
		found, err := styleViolations(files)
		if err != nil {
			t.Error(err)
		}
		for _, v := range found {
			t.Error(v)
		}
	}
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// styleViolations looks for init functions and package-level variables that something changes or that anyone could. A
// variable is fine if nothing in its package writes to it and it is one of
//   - an error, made by errors.New or fmt.Errorf or declared to be one,
//   - what Go can't write as a constant: a table that is not exported, a compiled pattern or template, a value that is
//     computed once (sync.OnceValue),
//   - an embedded file, the linker's version in package main,
//   - in a test, anything.
func styleViolations(files map[string][]byte) (found []string, err error) {
	fset := token.NewFileSet()
	parsed := map[string]*ast.File{}
	vars := map[string]token.Pos{} // of this package
	bad := func(pos token.Pos, format string, args ...any) {
		found = append(found, fset.Position(pos).String()+": "+fmt.Sprintf(format, args...))
	}
	for name, src := range files {
		file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		parsed[name] = file
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil && decl.Name.Name == "init" {
					bad(decl.Pos(), "init: nothing happens before main; make it a function that is called")
				}
			case *ast.GenDecl:
				if decl.Tok != token.VAR {
					continue
				}
				for _, spec := range decl.Specs {
					spec := spec.(*ast.ValueSpec)
					for i, id := range spec.Names {
						if id.Name == "_" {
							continue
						}
						vars[id.Name] = id.Pos()
						if !strings.HasSuffix(name, "_test.go") && !constantLike(file, decl, spec, i) {
							bad(id.Pos(), "variable %s: no mutable package-level variables", id.Name)
						}
					}
				}
			}
		}
	}
	for _, file := range parsed {
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			for _, w := range writes(fn) {
				if _, ok := vars[w.Name]; ok {
					bad(w.Pos(), "writes to the package-level variable %s", w.Name)
				}
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

// constantLike says whether a variable's declaration is of an allowed form.
func constantLike(file *ast.File, decl *ast.GenDecl, spec *ast.ValueSpec, i int) bool {
	for _, doc := range []*ast.CommentGroup{decl.Doc, spec.Doc} {
		if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }) {
			return true
		}
	}
	name := spec.Names[i].Name
	if file.Name.Name == "main" && name == "version" {
		return true
	}
	if i >= len(spec.Values) {
		return false
	}
	if named := strings.HasPrefix(name, "Err") || strings.HasPrefix(name, "err"); named {
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "error" {
			return true
		}
		return slices.Contains([]string{"errors.New", "fmt.Errorf"}, called(spec.Values[i]))
	}
	if _, ok := spec.Values[i].(*ast.CompositeLit); ok {
		return !ast.IsExported(name)
	}
	return slices.Contains([]string{"regexp.MustCompile", "template.Must", "sync.OnceValue", "sync.OnceValues"}, called(spec.Values[i]))
}

// called is the package and name of the function that an expression calls, or "".
func called(x ast.Expr) string {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return ""
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if id, ok := sel.X.(*ast.Ident); ok {
		return id.Name + "." + sel.Sel.Name
	}
	return ""
}

// writes returns the names that a function writes to and does not declare itself. It looks at names only: a local one hides
// a package-level one of the same name in the whole function, and what is written through a pointer is not seen.
func writes(fn *ast.FuncDecl) (names []*ast.Ident) {
	locals := map[string]bool{}
	declare := func(fields *ast.FieldList) {
		if fields == nil {
			return
		}
		for _, f := range fields.List {
			for _, id := range f.Names {
				locals[id.Name] = true
			}
		}
	}
	declare(fn.Recv)
	write := func(x ast.Expr) {
		if id := root(x); id != nil {
			names = append(names, id)
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncType:
			declare(n.Params)
			declare(n.Results)
		case *ast.ValueSpec:
			for _, id := range n.Names {
				locals[id.Name] = true
			}
		case *ast.AssignStmt:
			for _, x := range n.Lhs {
				if id, ok := x.(*ast.Ident); ok && n.Tok == token.DEFINE {
					locals[id.Name] = true
				} else {
					write(x)
				}
			}
		case *ast.RangeStmt:
			for _, x := range []ast.Expr{n.Key, n.Value} {
				if id, ok := x.(*ast.Ident); ok && n.Tok == token.DEFINE {
					locals[id.Name] = true
				} else if x != nil {
					write(x)
				}
			}
		case *ast.IncDecStmt:
			write(n.X)
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && (id.Name == "delete" || id.Name == "clear" || id.Name == "copy") {
				write(n.Args[0])
			}
		}
		return true
	})
	return slices.DeleteFunc(names, func(id *ast.Ident) bool { return locals[id.Name] })
}

// root is the variable that an expression reaches into, or nil.
func root(x ast.Expr) *ast.Ident {
	for {
		switch e := x.(type) {
		case *ast.Ident:
			return e
		case *ast.IndexExpr:
			x = e.X
		case *ast.SliceExpr:
			x = e.X
		case *ast.SelectorExpr:
			x = e.X
		case *ast.StarExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		default:
			return nil
		}
	}
}

// TestStyleRules shows that each rule finds what it is there for.
func TestStyleRules(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		file, code string
		want       int
	}{
		"init":                {"x.go", "func init() {}", 1},
		"init, a method":      {"x.go", "func (t) init() {}", 0},
		"a variable":          {"x.go", "var n int", 1},
		"a pointer":           {"x.go", "var p = &t{}", 1},
		"a test's variable":   {"x_test.go", "var update = flag.Bool()", 0},
		"a test's, written":   {"x_test.go", "var n = 1\nfunc f() { n = 2 }", 1},
		"an interface":        {"x.go", "var _ i = t{}", 0},
		"a sentinel":          {"x.go", `var ErrX = errors.New("x")`, 0},
		"a typed sentinel":    {"x.go", `var ErrX error = &t{}`, 0},
		"a sentinel, written": {"x.go", "var ErrX = errors.New(\"x\")\nfunc f() { ErrX = nil }", 1},
		"a table":             {"x.go", `var names = map[string]int{"a": 1}`, 0},
		"an exported table":   {"x.go", `var Names = map[string]int{"a": 1}`, 1},
		"a table, written":    {"x.go", "var names = map[string]int{}\nfunc f() { names[\"a\"] = 1 }", 1},
		"a table, deleted":    {"x.go", "var names = map[string]int{}\nfunc f() { delete(names, \"a\") }", 1},
		"a table, addressed":  {"x.go", "var names = [2]int{}\nfunc f() { g(&names) }", 0},
		"a table, hidden":     {"x.go", "var names = map[string]int{}\nfunc f() { names := map[string]int{}; names[\"a\"] = 1 }", 0},
		"an embedded file":    {"x.go", "//go:embed x\nvar x string", 0},
		"a pattern":           {"x.go", "var x = regexp.MustCompile(`x`)", 0},
		"version, not main":   {"x.go", `var version = "dev"`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := styleViolations(map[string][]byte{tc.file: []byte("package x\n" + tc.code)})
			if err != nil || len(got) != tc.want {
				t.Errorf("got %q, %v, want %d", got, err, tc.want)
			}
		})
	}
}

// sourceFiles returns the module's files that people write as source, but for test data, by their path from its root.
func sourceFiles(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel("..", file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "bin", "dist", "node_modules", "__pycache__"}, d.Name())) {
				return fs.SkipDir
			}
			return nil
		}
		if slices.Contains([]string{".go", ".sh", ".py", ".js", ".css", ".html", ".proto"}, path.Ext(name)) {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

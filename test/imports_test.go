package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/potok-streams/potok"

// listed is what these tests use of a package that `go list -json` prints.
type listed struct {
	ImportPath   string
	Name         string
	Dir          string
	GoFiles      []string
	EmbedFiles   []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// TestImports holds the module to its layout: who may import whom, and who may touch process-wide things.
func TestImports(t *testing.T) {
	t.Parallel()
	pkgs := goList(t, "./...")
	for _, v := range importViolations(pkgs) {
		t.Error(v)
	}
	for _, p := range pkgs {
		if !inside(p.ImportPath, module) {
			continue
		}
		for _, name := range p.GoFiles {
			file := filepath.Join(p.Dir, name)
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			violations, err := useViolations(p.ImportPath, path.Join(local(p.ImportPath), name), src)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range violations {
				t.Error(v)
			}
		}
	}
}

// kafkaClients are the roots of the modules that speak Kafka's protocol, or need one that does.
func kafkaClients() []string {
	return []string{"github.com/twmb/franz-go", "github.com/IBM/sarama", "github.com/lovoo/goka"}
}

// importViolations returns what is wrong with who imports whom, a line each. It wants the packages' dependencies as well.
func importViolations(pkgs []listed) []string {
	byPath := map[string]listed{}
	for _, p := range pkgs {
		byPath[p.ImportPath] = p
	}
	var found []string
	for _, p := range pkgs {
		if !inside(p.ImportPath, module) {
			continue
		}
		bad := func(imported, rule string) {
			found = append(found, fmt.Sprintf("%s imports %s: %s", local(p.ImportPath), local(imported), rule))
		}
		top, _, _ := strings.Cut(local(p.ImportPath), "/")
		for _, imp := range p.Imports {
			to, _, _ := strings.Cut(local(imp), "/")
			ours := inside(imp, module)
			switch {
			case top == "codecs" && ours && to != top:
				bad(imp, "codecs imports no sibling")
			case slices.Contains([]string{"processors", "emitters", "views"}, top) && ours && to != top && to != "codecs" && to != "internal":
				bad(imp, top+" imports only codecs and internal")
			case top == "internal" && imp == module+"/views/client":
				// Fine: it speaks to views over HTTP and needs none of them.
			case top == "internal" && ours && slices.Contains([]string{"processors", "emitters", "views"}, to):
				bad(imp, "imports go one way, and internal is below")
			case p.ImportPath == module+"/views/client" && ours && to != "codecs":
				bad(imp, "the client knows what is on the wire and nothing of the server")
			case imp == module+"/internal/testkafka":
				bad(imp, "it is for tests")
			case slices.Contains([]string{"flag", "github.com/spf13/pflag", "github.com/spf13/cobra"}, imp) && top != "cmd" && top != "test" && top != "bench":
				bad(imp, "flags are read only in cmd")
			}
		}
		for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			// The external test of a package imports that package.
			if inside(imp, module+"/cmd") && imp != p.ImportPath {
				bad(imp, "nobody imports cmd")
			}
		}
		if top == "codecs" {
			for _, chain := range chainsTo(byPath, p.ImportPath, kafkaClients()) {
				found = append(found, strings.Join(chain, " imports ")+": codecs needs no Kafka client")
			}
		}
		for _, name := range append(strings.Split(local(p.ImportPath), "/"), strings.TrimSuffix(p.Name, "_test")) {
			if slices.Contains([]string{"util", "utils", "common", "helper", "helpers"}, name) {
				found = append(found, fmt.Sprintf("%s: a package named %s says nothing about what is in it", local(p.ImportPath), name))
				break
			}
		}
	}
	return found
}

// chainsTo returns a chain of imports from a package to each package below the roots that it can reach.
func chainsTo(byPath map[string]listed, from string, roots []string) (chains [][]string) {
	seen := map[string]bool{from: true}
	queue := [][]string{{from}}
	for len(queue) > 0 {
		chain := queue[0]
		queue = queue[1:]
		last := chain[len(chain)-1]
		if slices.ContainsFunc(roots, func(root string) bool { return inside(last, root) }) {
			chains = append(chains, chain)
			continue
		}
		for _, imp := range byPath[last].Imports {
			if !seen[imp] {
				seen[imp] = true
				queue = append(queue, append(slices.Clone(chain), imp))
			}
		}
	}
	return chains
}

// useViolations returns what a file uses and its package may not.
func useViolations(importPath, name string, src []byte) (found []string, err error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	imports := map[string]string{} // by the name in this file
	for _, imp := range file.Imports {
		p, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			return nil, err
		}
		as := path.Base(p)
		if imp.Name != nil {
			as = imp.Name.Name
		}
		imports[as] = p
	}
	rel := local(importPath)
	inCmd := inside(rel, "cmd") || inside(rel, "test") || inside(rel, "bench") || rel == "internal/testkafka"
	configures := rel == "internal/kafka" || rel == "internal/engine"
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok {
			if sel, ok := lit.Type.(*ast.SelectorExpr); ok && pathOf(imports, sel) == "github.com/IBM/sarama" && sel.Sel.Name == "Config" && !configures {
				found = append(found, fmt.Sprintf("%s: sarama.Config{…}: sarama is configured in internal/kafka and internal/engine only", fset.Position(n.Pos())))
			}
		}
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		used := pathOf(imports, sel) + "." + sel.Sel.Name
		switch used {
		case "os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv", "os.Setenv", "os.Exit", "syscall.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln":
			if !inCmd {
				found = append(found, fmt.Sprintf("%s: %s: the environment and the exit code are cmd's", fset.Position(n.Pos()), used))
			}
		case "github.com/IBM/sarama.NewConfig", "github.com/lovoo/goka.DefaultConfig", "github.com/lovoo/goka.NewTopicManagerConfig":
			if !configures {
				found = append(found, fmt.Sprintf("%s: %s: goka and sarama are configured in internal/kafka and internal/engine only", fset.Position(n.Pos()), used))
			}
		case "github.com/lovoo/goka.ReplaceGlobalConfig":
			found = append(found, fmt.Sprintf("%s: %s: no process-wide settings", fset.Position(n.Pos()), used))
		}
		return true
	})
	return found, nil
}

// pathOf returns the import path of the package that a selector selects from, or "".
func pathOf(imports map[string]string, sel *ast.SelectorExpr) string {
	if x, ok := sel.X.(*ast.Ident); ok {
		return imports[x.Name]
	}
	return ""
}

// TestImportRules shows that each rule finds what it is there for.
func TestImportRules(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pkgs []listed
		want string
	}{
		"codecs and a sibling": {[]listed{{ImportPath: module + "/codecs", Imports: []string{module + "/internal/store"}}}, "codecs imports internal/store: codecs imports no sibling"},
		"views and processors": {[]listed{{ImportPath: module + "/views/page", Imports: []string{module + "/processors"}}}, "views/page imports processors: views imports only codecs and internal"},
		"internal and views":   {[]listed{{ImportPath: module + "/internal/app", Imports: []string{module + "/views"}}}, "internal/app imports views: imports go one way, and internal is below"},
		"flags":                {[]listed{{ImportPath: module + "/views", Imports: []string{"flag"}}}, "views imports flag: flags are read only in cmd"},
		"cmd, from a test":     {[]listed{{ImportPath: module + "/views", TestImports: []string{module + "/cmd/potok"}}}, "views imports cmd/potok: nobody imports cmd"},
		"a broker for tests":   {[]listed{{ImportPath: module + "/cmd/potok", Imports: []string{module + "/internal/testkafka"}}}, "cmd/potok imports internal/testkafka: it is for tests"},
		"client and server":    {[]listed{{ImportPath: module + "/views/client", Imports: []string{module + "/views"}}}, "views/client imports views: the client knows what is on the wire and nothing of the server"},
		"a name":               {[]listed{{ImportPath: module + "/internal/x", Name: "util"}}, "internal/x: a package named util says nothing about what is in it"},
		"codecs and Kafka, over a third": {
			[]listed{{ImportPath: module + "/codecs", Imports: []string{"example.org/x"}}, {ImportPath: "example.org/x", Imports: []string{"github.com/twmb/franz-go/pkg/kgo"}}},
			module + "/codecs imports example.org/x imports github.com/twmb/franz-go/pkg/kgo: codecs needs no Kafka client",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := importViolations(tc.pkgs); !slices.Equal(got, []string{tc.want}) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	fine := []listed{
		{ImportPath: module + "/views", Name: "views", Imports: []string{module + "/codecs", module + "/views/page", module + "/internal/engine"}, TestImports: []string{module + "/processors"}},
		{ImportPath: module + "/cmd/potok", Name: "main", Imports: []string{module + "/views", "github.com/spf13/cobra"}, TestImports: []string{module + "/internal/testkafka"}, XTestImports: []string{module + "/cmd/potok"}},
		{ImportPath: module + "/internal/terminal", Name: "terminal", Imports: []string{module + "/views/client"}},
	}
	if got := importViolations(fine); len(got) > 0 {
		t.Errorf("fine, but: %q", got)
	}
	for name, tc := range map[string]struct {
		pkg, code string
		want      int
	}{
		"environment":       {"views", `import "os"; func f() string { return os.Getenv("X") }`, 1},
		"environment, cmd":  {"cmd/potok", `import "os"; func f() string { return os.Getenv("X") }`, 0},
		"another os":        {"views", `func f(os t) string { return os.Getenv("X") }`, 0},
		"exit, renamed":     {"views", `import system "os"; func f() { system.Exit(1) }`, 1},
		"sarama":            {"processors", `import "github.com/IBM/sarama"; func f() any { return sarama.NewConfig() }`, 1},
		"sarama's literal":  {"processors", `import "github.com/IBM/sarama"; func f() any { return &sarama.Config{} }`, 1},
		"sarama, its place": {"internal/kafka", `import "github.com/IBM/sarama"; func f() any { return sarama.NewConfig() }`, 0},
		"global settings":   {"internal/kafka", `import "github.com/lovoo/goka"; func f() { goka.ReplaceGlobalConfig(nil) }`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := useViolations(module+"/"+tc.pkg, "x.go", []byte("package x\n"+tc.code))
			if err != nil || len(got) != tc.want {
				t.Errorf("got %q, %v, want %d", got, err, tc.want)
			}
		})
	}
}

// inside says whether an import path (or a directory) is another or lies below it.
func inside(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// local is an import path without the module's.
func local(importPath string) string { return strings.TrimPrefix(importPath, module+"/") }

// goList lists packages and all their dependencies. It also looks at every source file, so that `go test` does not take a
// cached result for one of today: it knows which files a test looked at, but not those that a program it ran did.
func goList(t *testing.T, pattern string) []listed {
	t.Helper()
	sourceFiles(t)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Name,Dir,GoFiles,EmbedFiles,Imports,TestImports,XTestImports", pattern)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "..", &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []listed
	for dec := json.NewDecoder(&stdout); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrows says which packages of cairn each package may import: exactly these.
// An arrow that is not used any more must go, so that the table stays a
// picture of the house and does not become a list of permissions. Arrows point
// down only; a new line needs a reason, not just a build that fails.
var arrows = map[string][]string{
	// What is stored: bytes in, bytes out, no I/O.
	"objects":         {},
	"objects/wire":    {},
	"objects/chunker": {},
	"objects/attr":    {"objects/wire"},
	"objects/crypt":   {"objects", "objects/wire"},
	"objects/archive": {"objects", "objects/wire"},
	"objects/bundle":  {"objects", "objects/wire"},
	"objects/pack":    {"objects", "objects/crypt", "objects/wire"},
	"objects/record":  {"objects", "objects/crypt", "objects/wire"},

	// Where it is stored: bytes under keys. Knows nothing of objects.
	"backend":             {},
	"backend/mem":         {"backend"},
	"backend/versions":    {"backend"},
	"backend/local":       {"backend", "backend/versions"},
	"backend/sftp":        {"backend", "backend/versions"},
	"backend/retry":       {"backend"},
	"backend/pace":        {"backend"},
	"backend/meter":       {},
	"backend/s3":          {"backend", "backend/versions"},
	"backend/probe":       {"backend"}, // any store's register
	"backend/backendtest": {"backend"},

	// Where chunks are, in files of its own: it never asks a store.
	"index": {"objects", "objects/crypt", "objects/pack", "objects/wire"},

	// Who may write, and the chain of commits.
	"locking": {"backend", "objects", "objects/crypt", "objects/record"},

	// What is done with a repository.
	"pipeline/pattern":   {},
	"pipeline/fileattr":  {"objects/archive", "objects/attr"},
	"pipeline/walk":      {"objects/archive", "pipeline/fileattr"}, // archive: for the order of paths
	"pipeline/selection": {"pipeline/pattern", "pipeline/walk"},
	"pipeline/packer":    {"backend", "index", "objects", "objects/crypt", "objects/pack", "objects/record"},
	"pipeline/repository": {"backend", "index", "locking", "objects", "objects/archive", "objects/bundle", "objects/crypt",
		"objects/pack", "objects/record", "objects/wire", "pipeline/packer"},
	"pipeline/backup": {"objects", "objects/archive", "objects/attr", "objects/chunker", "objects/crypt",
		"objects/pack", "objects/record", "pipeline/fileattr", "pipeline/packer", "pipeline/repository", "pipeline/walk"},
	"pipeline/check": {"backend", "objects", "objects/archive", "objects/crypt", "objects/pack",
		"objects/record", "pipeline/packer", "pipeline/repository"},
	"pipeline/compact": {"backend", "index", "locking", "objects", "objects/archive", "objects/crypt", "objects/pack",
		"objects/record", "pipeline/packer", "pipeline/repository"},
	// Restore takes chunks from whoever has them: it does not know repositories.
	"pipeline/restore": {"backend", "index", "objects", "objects/archive", "objects/attr", "objects/crypt",
		"objects/pack", "pipeline/fileattr"},
	"pipeline/content": {"index", "objects", "objects/archive", "objects/crypt", "objects/pack"},
	// Writing a tar file needs chunks only; making an archive of one writes to a repository.
	"pipeline/tarball": {"objects", "objects/archive", "objects/attr", "objects/chunker", "objects/pack", "objects/record",
		"pipeline/content", "pipeline/packer", "pipeline/repository"},
	"pipeline/mount": {
		"objects",
		"objects/archive",
		"objects/attr",
		"objects/crypt",
		"objects/record",
		"pipeline/content",
		"pipeline/fileattr", // for what stat calls types
	},

	// The command line as pages, completions and short help.
	"cmd/manual": {},

	// What a person types. The only place that picks a store.
	"cmd/cairn": {
		"cmd/manual",
		"backend",
		"backend/meter",
		"backend/local",
		"backend/pace",
		"backend/probe",
		"backend/retry",
		"backend/s3",
		"backend/sftp",
		"locking",
		"objects",
		"objects/archive",
		"objects/attr",
		"objects/crypt",
		"objects/pack",
		"objects/record",
		"pipeline/backup",
		"pipeline/check",
		"pipeline/compact",
		"pipeline/content",
		"pipeline/fileattr",
		"pipeline/mount",
		"pipeline/packer",
		"pipeline/pattern",
		"pipeline/repository",
		"pipeline/restore",
		"pipeline/selection",
		"pipeline/tarball",
		"pipeline/walk",
	},
}

// rooms says which packages may use what others wrote: exactly these. Whoever
// wants to replace a library reads here how far it reaches.
var rooms = map[string][]string{
	"github.com/alecthomas/kong":           {"cmd/cairn", "cmd/manual"},
	"github.com/dustin/go-humanize":        {"cmd/cairn"},
	"github.com/ncruces/go-strftime":       {"cmd/cairn"},
	"golang.org/x/term":                    {"cmd/cairn"},
	"github.com/bmatcuk/doublestar/v4":     {"pipeline/pattern"},
	"github.com/cenkalti/backoff/v5":       {"backend/retry"},
	"golang.org/x/time/rate":               {"backend/pace"},
	"github.com/kevinburke/ssh_config":     {"backend/sftp"},
	"github.com/pkg/sftp":                  {"backend/sftp"},
	"golang.org/x/crypto/ssh":              {"backend/sftp"},
	"golang.org/x/crypto/ssh/agent":        {"backend/sftp"},
	"golang.org/x/crypto/ssh/knownhosts":   {"backend/sftp"},
	"github.com/klauspost/compress/zstd":   {"objects/pack", "objects/record", "pipeline/tarball"},
	"github.com/klauspost/cpuid/v2":        {"objects/chunker", "objects/crypt"},
	"golang.org/x/crypto/argon2":           {"objects/crypt"},
	"golang.org/x/crypto/chacha20poly1305": {"objects/crypt"},
	"github.com/zeebo/blake3":              {"objects/bundle", "objects/chunker", "objects/crypt", "objects/pack", "objects/record", "pipeline/check", "pipeline/compact", "pipeline/repository"},
	"github.com/zeebo/xxh3":                {"index", "objects/archive", "objects/pack"},
	"golang.org/x/sync/errgroup": {
		"backend/sftp",
		"locking",
		"pipeline/backup",
		"pipeline/check",
		"pipeline/compact",
		"pipeline/content",
		"pipeline/mount",
		"pipeline/packer",
		"pipeline/repository",
		"pipeline/restore",
	},
	"golang.org/x/sys/unix": {
		"backend/local",
		"cmd/cairn",
		"index",
		"locking",
		"pipeline/backup",
		"pipeline/fileattr",
		"pipeline/mount",
		"pipeline/restore",
		"pipeline/walk",
	},

	"github.com/aws/aws-sdk-go-v2/aws":             {"backend/s3"},
	"github.com/aws/aws-sdk-go-v2/config":          {"backend/s3"},
	"github.com/aws/smithy-go/logging":             {"backend/s3"},
	"github.com/minio/minio-go/v7":                 {"backend/s3"},
	"github.com/minio/minio-go/v7/pkg/credentials": {"backend/s3"},
	"github.com/minio/minio-go/v7/pkg/encrypt":     {"backend/s3"},
	"github.com/minio/minio-go/v7/pkg/s3utils":     {"backend/s3"},
	"github.com/klauspost/compress/gzip":           {"pipeline/tarball"},
	"github.com/hanwen/go-fuse/v2/fuse":            {"pipeline/mount"},
}

// noIO names packages of the standard library that reach outside the process:
// objects and pattern only compute.
var noIO = []string{"os", "net", "syscall", "os/exec", "net/http", "path/filepath"}

// variables are package variables that are no errors, each with its reason.
var variables = map[string]string{
	"cmd/cairn.outcomes": "which error ends the program how: a table that is only read",
}

const (
	fileLines     = 500
	functionLines = 60
)

// folders is what lies at the top of the module.
var folders = []string{"backend", "cmd", "index", "locking", "objects", "pipeline", "test"}

// source is one file that is built into cairn, for whatever system: build
// constraints hide no import from this test.
type source struct {
	name string // relative to the module
	file *ast.File
	set  *token.FileSet
}

func (s *source) pkg() string { return path.Dir(s.name) }

func (s *source) imports() []string {
	var list []string
	for _, spec := range s.file.Imports {
		list = append(list, strings.Trim(spec.Path.Value, `"`))
	}
	return list
}

// lines returns how many lines node takes.
func (s *source) lines(node ast.Node) int {
	return s.set.Position(node.End()).Line - s.set.Position(node.Pos()).Line + 1
}

// sources parses everything but tests, and what is built for tests only.
func sources(t *testing.T) []*source {
	t.Helper()
	set := token.NewFileSet()
	var list []*source
	err := fs.WalkDir(os.DirFS(".."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || name == "test"):
			return fs.SkipDir
		case d.IsDir(), !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(set, filepath.Join("..", name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		list = append(list, &source{name: name, file: file, set: set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestArrows(t *testing.T) {
	t.Parallel()
	got, want := map[string][]string{}, map[string][]string{}
	for _, s := range sources(t) {
		got[s.pkg()] = append(got[s.pkg()], "")
		for _, imported := range s.imports() {
			if ours, ok := strings.CutPrefix(imported, "cairn/"); ok {
				got[s.pkg()] = append(got[s.pkg()], ours)
			}
		}
	}
	for pkg, below := range arrows {
		want[pkg] = append([]string{""}, below...)
	}
	compareTables(t, got, want, "%s imports %s, and the table of arrows does not have it", "%s does not import %s any more: take it out of the table of arrows")
}

func TestRooms(t *testing.T) {
	t.Parallel()
	got := map[string][]string{}
	for _, s := range sources(t) {
		for _, imported := range s.imports() {
			if host, _, _ := strings.Cut(imported, "/"); strings.Contains(host, ".") {
				got[imported] = append(got[imported], s.pkg())
			}
		}
	}
	compareTables(t, got, rooms, "%s is used in %s, which is not one of its rooms", "%s is not used in %s any more: take it out of the table of rooms")
}

// compareTables reports every difference between two tables of sets.
func compareTables(t *testing.T, got, want map[string][]string, more, less string) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(got)) {
		for _, value := range slices.Compact(slices.Sorted(slices.Values(got[key]))) {
			if !slices.Contains(want[key], value) {
				t.Errorf(more, key, value)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		for _, value := range want[key] {
			if !slices.Contains(got[key], value) {
				t.Errorf(less, key, value)
			}
		}
	}
}

// TestObjectsCompute holds objects, and what else only computes, to what goes
// in and comes out.
func TestObjectsCompute(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.pkg(), "objects") && s.pkg() != "pipeline/pattern" {
			continue
		}
		for _, imported := range s.imports() {
			if slices.Contains(noIO, imported) {
				t.Errorf("%s imports %s: %s does no I/O", s.name, imported, s.pkg())
			}
		}
	}
}

// TestNothingHidden: what a package does is done by a call, and what it knows
// is passed to it. Packages for tests are held to less.
func TestNothingHidden(t *testing.T) {
	t.Parallel()
	excused := maps.Clone(variables)
	for _, s := range sources(t) {
		if strings.HasSuffix(s.pkg(), "test") {
			continue
		}
		for _, decl := range s.file.Decls {
			for _, hidden := range hiddenBy(s, decl) {
				if _, ok := variables[s.pkg()+"."+hidden]; !ok {
					t.Errorf("%s: %s is a package variable or an init", s.name, hidden)
				}
				delete(excused, s.pkg()+"."+hidden)
			}
		}
	}
	for name := range excused {
		t.Errorf("%s is gone: take it out of the table", name)
	}
}

// hiddenBy returns the names that decl declares and should not.
func hiddenBy(s *source, decl ast.Decl) []string {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Recv == nil && decl.Name.Name == "init" {
			return []string{"init"}
		}
	case *ast.GenDecl:
		if decl.Tok != token.VAR {
			return nil
		}
		var names []string
		for _, spec := range decl.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				// "_" states that a type implements an interface.
				if name.Name != "_" && !strings.HasPrefix(strings.ToLower(name.Name), "err") {
					names = append(names, name.Name)
				}
			}
		}
		return names
	}
	return nil
}

// TestSizes holds files and functions to what a reader can keep in mind.
func TestSizes(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if n := s.set.File(s.file.FileStart).LineCount(); n > fileLines {
			t.Errorf("%s has %d lines, want at most %d", s.name, n, fileLines)
		}
		ast.Inspect(s.file, func(node ast.Node) bool {
			name := "a function literal"
			switch node := node.(type) {
			case *ast.FuncDecl:
				name = node.Name.Name
			case *ast.FuncLit:
			default:
				return true
			}
			if n := s.lines(node); n > functionLines {
				t.Errorf("%s: %s has %d lines, want at most %d", s.name, name, n, functionLines)
			}
			return true
		})
	}
}

// TestGoroutinesBelongToAGroup: a naked go statement is nobody's to wait for.
func TestGoroutinesBelongToAGroup(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(node ast.Node) bool {
			if node, ok := node.(*ast.GoStmt); ok {
				t.Errorf("%s: go statement: start it in a group that waits for it", s.set.Position(node.Pos()))
			}
			return true
		})
	}
}

// TestContextsComeFromMain: a context made in the middle cannot be cancelled.
func TestContextsComeFromMain(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.file.Name.Name == "main" || strings.HasSuffix(s.pkg(), "test") {
			continue
		}
		ast.Inspect(s.file, func(node ast.Node) bool {
			call, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := call.X.(*ast.Ident); ok && x.Name == "context" && (call.Sel.Name == "Background" || call.Sel.Name == "TODO") {
				t.Errorf("%s: context.%s outside of main", s.set.Position(call.Pos()), call.Sel.Name)
			}
			return true
		})
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			got = append(got, e.Name())
		}
	}
	if !slices.Equal(got, folders) {
		t.Errorf("the module's folders: got %q, want %q", got, folders)
	}
}

// TestNoJunkDrawers: a package is named after what it is.
func TestNoJunkDrawers(t *testing.T) {
	t.Parallel()
	junk := []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "misc", "shared"}
	for _, s := range sources(t) {
		if slices.Contains(junk, path.Base(s.pkg())) {
			t.Errorf("%s: a package's name says what it is, and %s does not", s.name, s.pkg())
		}
	}
}

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// check describes a package of the given declarations.
func check(t *testing.T, declarations string) map[string][]string {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "p.go", "package p\n"+declarations, 0)
	require.NoError(t, err)
	pkg, err := new(types.Config).Check("p", files, []*ast.File{file}, nil)
	require.NoError(t, err)
	return map[string][]string{"p.txt": describe(pkg)}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, now string
		gone, added []string
	}{
		"a value":               {"const A = 1", "const A = 2", []string{"p: const A untyped int = 1"}, []string{"p: const A untyped int = 2"}},
		"a variable":            {"var V int", "", []string{"p: var V int"}, nil},
		"a result":              {"func F() {}", "func F() (a, b int) { return }", []string{"p: func F()"}, []string{"p: func F() (int, int)"}},
		"an option more":        {"func F(a int) {}", "func F(a int, b ...int) {}", []string{"p: func F(int)"}, []string{"p: func F(int, ...int)"}},
		"a constraint":          {"func F[T any](T) {}", "func F[T comparable](T) {}", []string{"p: func F[T any](T)"}, []string{"p: func F[T comparable](T)"}},
		"a name of a parameter": {"func F(a int) {}", "func F(b int) {}", nil, nil},
		"what nobody sees":      {"type T struct{ a int }", "type T struct{ b int }; func (T) f() {}; func g() {}", nil, nil},
		"a field more":          {"type T struct{ A int }", "type T struct{ A, B int }", nil, []string{"p: type T struct, B int"}},
		"an interface": {
			"type I interface{ F(int) }", "type I interface{ F(int); G() }",
			[]string{"p: type I interface { F(int) }"},
			[]string{"p: type I interface { F(int); G() }"},
		},
		"a closed interface": {
			"type I interface{ F() }", "type I interface{ F(); g() }",
			[]string{"p: type I interface { F() }"},
			[]string{"p: type I interface { unexported methods; F() }"},
		},
		"a receiver": {
			"type T int; func (T) F() {}", "type T int; func (*T) F() {}",
			[]string{"p: method (T) F()"},
			[]string{"p: method (*T) F()"},
		},
		"a promoted method": {
			"type e int; func (e) F() {}; type T struct{ e }", "type e int; type T struct{ e }",
			[]string{"p: method (T) F()"},
			nil,
		},
		"comparable": {
			"type T struct{ a int }", "type T struct{ a []int }",
			[]string{"p: type T struct, comparable"},
			nil,
		},
		"a type with parameters": {
			"type T[E any] struct{ A E }", "type T[E any] struct{ A []E }",
			[]string{"p: type T[E any] struct, A E"},
			[]string{"p: type T[E any] struct, A []E"},
		},
		"an alias": {"type T = int", "type T int", []string{"p: type T = int"}, []string{"p: type T int"}},
	} {
		gone, added := compare(check(t, c.before), check(t, c.now))
		assert.Equal(t, c.gone, gone, name)
		assert.Equal(t, c.added, added, name)
	}
}

func TestPublicPackages(t *testing.T) {
	t.Parallel()
	for importPath, public := range map[string]bool{root: true, root + "/timpushtest": true, root + "/examples/unittest": false, root + "/internal/x": false, root + "/internal": false} {
		assert.Equal(t, public, isPublic(importPath, root), importPath)
	}
	assert.True(t, isPublic(root+"/dispatch", root+"/dispatch"))
	assert.False(t, isPublic(root+"/benchmarks", root+"/benchmarks"), "it is not published")
	assert.False(t, isPublic("net/http", ""))
}

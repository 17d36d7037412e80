package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// mutant is one change of the code that a test should notice.
type mutant struct {
	file, function string
	line           int
	from, to       string
	nth            int // of those that are alike in the function, from 1
}

// key names a mutant independently of its line.
func (m *mutant) key() string {
	return fmt.Sprintf("%s %s: %s → %s #%d", m.file, m.function, m.from, m.to, m.nth)
}

// mutator writes all mutants of a package into its code at once: the program switches one on by its number, so that the
// package is compiled once for all of them. support.go.txt has the functions that the code then calls.
type mutator struct {
	fset    *token.FileSet
	info    *types.Info
	pkg     *types.Package
	mutants []mutant
	alike   map[string]int

	name, function string // of the file and the function that are walked through
	source         []byte
	parents        []ast.Node
	edits          []edit
	closing        map[ast.Node][]edit // text to insert behind a node once its children are done
}

type edit struct {
	at, end int
	rank    int // at one place, closing edits come first
	text    string
}

const (
	closes = iota
	replaces
	opens
)

// file returns the code of a file with all its mutants.
func (m *mutator) file(name string, source []byte, f *ast.File) []byte {
	m.name, m.source, m.edits, m.closing = name, source, nil, map[ast.Node][]edit{}
	ast.Inspect(f, m.visit)
	slices.SortStableFunc(m.edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.rank, b.rank)) })
	var out []byte
	done := 0
	for _, e := range m.edits {
		out = append(append(out, source[done:e.at]...), e.text...)
		done = e.end
	}
	return append(out, source[done:]...)
}

func (m *mutator) visit(n ast.Node) bool {
	if n == nil {
		last := len(m.parents) - 1
		m.edits = append(m.edits, m.closing[m.parents[last]]...)
		m.parents = m.parents[:last]
		return true
	}
	if !m.enter(n) {
		return false
	}
	m.parents = append(m.parents, n)
	return true
}

// enter mutates a node, and reports whether there may be more in it. Constants have to stay such.
func (m *mutator) enter(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		if len(m.parents) == 1 {
			m.function = "var"
		}
		return n.Tok == token.VAR
	case *ast.ArrayType, *ast.FuncType:
		return false
	case *ast.FuncDecl:
		m.function = n.Name.Name
		if n.Recv != nil {
			m.function = types.ExprString(n.Recv.List[0].Type) + "." + n.Name.Name
		}
	case *ast.BinaryExpr:
		return m.binary(n)
	case *ast.UnaryExpr:
		if literal, ok := n.X.(*ast.BasicLit); ok && n.Op == token.SUB {
			m.number(n, literal)
		}
	case *ast.BasicLit:
		if sign, ok := m.parents[len(m.parents)-1].(*ast.UnaryExpr); !ok || sign.Op != token.SUB {
			m.number(n, n)
		}
	case *ast.Ident:
		if value := m.info.Types[n].Value; value != nil && (n.Name == "true" || n.Name == "false") && m.info.Uses[n] == types.Universe.Lookup(n.Name) {
			m.negate(n)
		}
	case ast.Stmt:
		m.statement(n)
	}
	return true
}

func (m *mutator) binary(n *ast.BinaryExpr) bool {
	t := m.info.Types[n]
	if t.Value != nil {
		_, named := t.Type.(*types.Named) // such as 10 * time.Second, the number of which has that type
		return named
	}
	basic, _ := t.Type.Underlying().(*types.Basic)
	other, known := operators[n.Op]
	switch {
	case n.Op == token.SHL || n.Op == token.SHR:
		return false // the type of a constant in it is not obvious
	case n.Op == token.EQL || n.Op == token.NEQ:
		m.negate(n)
	case known && basic != nil && basic.Info()&(types.IsNumeric|types.IsBoolean) != 0: // the sum of two texts has no opposite
		m.operator(n, other.name, other.instead)
	}
	return true
}

// operators has for each operator its replacement, and the function of support.go.txt that is called instead of it.
var operators = map[token.Token]struct{ name, instead string }{
	token.LSS: {"Less", "<="}, token.LEQ: {"LessEqual", "<"}, token.GTR: {"More", ">="}, token.GEQ: {"MoreEqual", ">"},
	token.ADD: {"Add", "-"}, token.SUB: {"Sub", "+"}, token.MUL: {"Mul", "/"}, token.QUO: {"Div", "*"},
	token.LAND: {"And", "||"}, token.LOR: {"Or", "&&"},
}

// operator replaces an operator by a call. The right side of a logical one is evaluated only if needed.
func (m *mutator) operator(n *ast.BinaryExpr, name, other string) {
	between, after := ",", ")"
	if n.Op == token.LAND || n.Op == token.LOR {
		between, after = ", func() bool { return ", " })"
	}
	at, x, y := m.offset(n.OpPos), m.text(n.X), m.text(n.Y)
	m.wrap(n, "mutant"+name+"(%d, ", after, x+" "+n.Op.String()+" "+y, x+" "+other+" "+y)
	m.edits = append(m.edits, edit{at, at + len(n.Op.String()), replaces, between})
}

// statement mutates a statement. One that only does something can be left out; it must stand in a list for that.
func (m *mutator) statement(n ast.Stmt) {
	switch n := n.(type) {
	case *ast.IfStmt:
		m.condition(n.Cond)
	case *ast.ForStmt:
		m.condition(n.Cond)
	case *ast.CaseClause:
		if s, ok := m.parents[len(m.parents)-2].(*ast.SwitchStmt); ok && s.Tag == nil {
			for _, cond := range n.List {
				m.condition(cond)
			}
		}
	case *ast.ReturnStmt:
		for _, result := range n.Results {
			if ident, ok := result.(*ast.Ident); ok && types.Identical(m.info.Types[result].Type, types.Universe.Lookup("error").Type()) && ident.Name != "nil" {
				m.wrap(result, "mutantNil(%d, ", ")", ident.Name, "nil")
			}
		}
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			m.leaveOut(n)
		}
	case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.SendStmt:
		m.leaveOut(n)
	case *ast.BranchStmt:
		if n.Tok != token.FALLTHROUGH {
			m.leaveOut(n)
		}
	}
}

// condition negates a condition, unless it is a comparison that is negated anyway.
func (m *mutator) condition(cond ast.Expr) {
	if cond == nil {
		return
	}
	if b, ok := cond.(*ast.BinaryExpr); ok && (b.Op == token.EQL || b.Op == token.NEQ) {
		return
	}
	m.negate(cond)
}

func (m *mutator) negate(n ast.Expr) {
	text := m.text(n)
	m.wrap(n, "mutantNot(%d, ", ")", text, "!("+text+")")
}

// leaveOut mutates a statement of a list.
func (m *mutator) leaveOut(n ast.Stmt) {
	switch parent := m.parents[len(m.parents)-1].(type) {
	case *ast.CommClause:
		if parent.Comm == n {
			return
		}
	case *ast.BlockStmt, *ast.CaseClause:
	default:
		return
	}
	m.wrap(n, "if !mutantOn(%d) { ", " }", m.text(n), "(left out)")
}

// number makes a whole number greater by one. A negative one, which n includes the sign of, has its type as a whole.
func (m *mutator) number(n ast.Expr, literal *ast.BasicLit) {
	if t := m.info.Types[n].Type; literal.Kind == token.INT && t != nil {
		kind := types.TypeString(types.Default(t), types.RelativeTo(m.pkg))
		if named, ok := t.(*types.Named); ok && named.Obj().Pkg() != nil && named.Obj().Pkg() != m.pkg {
			kind = "mutant" + named.Obj().Name() // an alias, since not every file imports the package
		}
		m.wrap(n, "mutantNumber["+kind+"](%d, ", ")", m.text(n), m.text(n)+"+1")
	}
}

// wrap puts text before and behind a node, and counts a mutant, whose number the text before it holds.
func (m *mutator) wrap(n ast.Node, before, after, from, to string) {
	one := mutant{file: m.name, function: m.function, line: m.fset.Position(n.Pos()).Line, from: fmt.Sprintf("%.90s", from), to: fmt.Sprintf("%.90s", to)}
	m.alike[one.key()]++
	one.nth = m.alike[one.key()]
	m.mutants = append(m.mutants, one)
	at, end := m.offset(n.Pos()), m.offset(n.End())
	m.edits = append(m.edits, edit{at, at, opens, fmt.Sprintf(before, len(m.mutants))})
	m.closing[n] = append([]edit{{end, end, closes, after}}, m.closing[n]...)
}

func (m *mutator) offset(p token.Pos) int { return m.fset.Position(p).Offset }

func (m *mutator) text(n ast.Node) string {
	return strings.Join(strings.Fields(string(m.source[m.offset(n.Pos()):m.offset(n.End())])), " ")
}

package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/ast/astutil"
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
	fset       *token.FileSet
	info       *types.Info
	pkg        *types.Package
	mutants    []mutant
	alike      map[string]int
	conditions map[ast.Node]bool // that are to be negated
	unused     map[ast.Node]bool // values beside an error, which no caller looks at

	name, function string // of the file and the function that are walked through
	source         []byte
}

// file writes all mutants into the syntax of a file.
func (m *mutator) file(name string, source []byte, f *ast.File) {
	m.name, m.source = name, source
	astutil.Apply(f, m.enter, m.leave)
}

// enter reports whether there may be mutants in a node. Constants have to stay such.
func (m *mutator) enter(c *astutil.Cursor) bool {
	switch n := c.Node().(type) {
	case *ast.GenDecl:
		if _, ok := c.Parent().(*ast.File); ok {
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
		if t := m.info.Types[n]; t.Value != nil {
			_, named := t.Type.(*types.Named) // such as 10 * time.Second, the number of which has that type
			return named
		}
		return n.Op != token.SHL && n.Op != token.SHR // the type of a constant in it is not obvious
	case *ast.UnaryExpr:
		if literal, ok := n.X.(*ast.BasicLit); ok && n.Op == token.SUB {
			c.Replace(m.number(n, literal))
			return false
		}
	case *ast.ReturnStmt:
		if last := len(n.Results) - 1; last > 0 && m.isError(n.Results[last]) {
			for _, result := range n.Results[:last] {
				m.unused[result] = true
			}
		}
	case *ast.IfStmt:
		m.condition(n.Cond)
	case *ast.ForStmt:
		m.condition(n.Cond)
	case *ast.SwitchStmt:
		for _, clause := range n.Body.List {
			if clause, ok := clause.(*ast.CaseClause); ok && n.Tag == nil {
				m.condition(clause.List...)
			}
		}
	}
	return true
}

// condition notes conditions to be negated, except comparisons, which are negated anyway.
func (m *mutator) condition(list ...ast.Expr) {
	for _, cond := range list {
		b, ok := cond.(*ast.BinaryExpr)
		m.conditions[cond] = !ok || b.Op != token.EQL && b.Op != token.NEQ
	}
}

// leave mutates a node after what is in it.
func (m *mutator) leave(c *astutil.Cursor) bool {
	switch n := c.Node().(type) {
	case ast.Expr:
		mutated := m.expression(n)
		if m.conditions[n] {
			mutated = m.negate(mutated)
		}
		c.Replace(mutated)
	case ast.Stmt:
		m.statement(c, n)
	}
	return true
}

func (m *mutator) expression(n ast.Expr) ast.Expr {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		return m.binary(n)
	case *ast.BasicLit:
		if !m.unused[n] {
			return m.number(n, n)
		}
	case *ast.Ident:
		if !m.unused[n] && m.info.Types[n].Value != nil && (n.Name == "true" || n.Name == "false") && m.info.Uses[n] == types.Universe.Lookup(n.Name) {
			return m.negate(n)
		}
	}
	return n
}

func (m *mutator) binary(n *ast.BinaryExpr) ast.Expr {
	t := m.info.Types[n]
	basic, _ := t.Type.Underlying().(*types.Basic)
	other, known := operators[n.Op]
	switch {
	case t.Value != nil:
	case n.Op == token.EQL || n.Op == token.NEQ:
		return m.negate(n)
	case known && basic != nil && basic.Info()&(types.IsNumeric|types.IsBoolean) != 0: // the sum of two texts has no opposite
		return m.operator(n, other.name, other.instead)
	}
	return n
}

// operators has for each operator its replacement, and the function of support.go.txt that is called instead of it.
var operators = map[token.Token]struct{ name, instead string }{
	token.LSS: {"Less", "<="}, token.LEQ: {"LessEqual", "<"}, token.GTR: {"More", ">="}, token.GEQ: {"MoreEqual", ">"},
	token.ADD: {"Add", "-"}, token.SUB: {"Sub", "+"}, token.MUL: {"Mul", "/"}, token.QUO: {"Div", "*"},
	token.LAND: {"And", "||"}, token.LOR: {"Or", "&&"},
}

// operator replaces an operator by a call. The right side of a logical one is evaluated only if needed.
func (m *mutator) operator(n *ast.BinaryExpr, name, other string) ast.Expr {
	x, y, right := m.text(n.X), m.text(n.Y), n.Y
	if n.Op == token.LAND || n.Op == token.LOR {
		result := &ast.FieldList{List: []*ast.Field{{Type: ast.NewIdent("bool")}}}
		right = &ast.FuncLit{
			Type: &ast.FuncType{Params: &ast.FieldList{}, Results: result},
			Body: &ast.BlockStmt{List: []ast.Stmt{&ast.ReturnStmt{Results: []ast.Expr{n.Y}}}},
		}
	}
	return m.call(n, "mutant"+name, x+" "+n.Op.String()+" "+y, x+" "+other+" "+y, n.X, right)
}

// statement mutates a statement. One that only does something can be left out; it must stand in a list for that.
func (m *mutator) statement(c *astutil.Cursor, n ast.Stmt) {
	switch n := n.(type) {
	case *ast.ReturnStmt:
		for k, result := range n.Results {
			if ident, ok := result.(*ast.Ident); ok && m.isError(result) {
				n.Results[k] = m.call(result, "mutantNil", ident.Name, "nil", result)
			}
		}
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			m.leaveOut(c, n)
		}
	case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.SendStmt:
		m.leaveOut(c, n)
	case *ast.BranchStmt:
		if n.Tok != token.FALLTHROUGH {
			m.leaveOut(c, n)
		}
	}
}

// isError reports whether an expression is an error, and not nil.
func (m *mutator) isError(n ast.Expr) bool {
	return types.ExprString(n) != "nil" && types.Identical(m.info.Types[n].Type, types.Universe.Lookup("error").Type())
}

// leaveOut mutates a statement of a list.
func (m *mutator) leaveOut(c *astutil.Cursor, n ast.Stmt) {
	if c.Index() >= 0 {
		on := m.call(n, "mutantOn", m.text(n), "(left out)")
		c.Replace(&ast.IfStmt{If: n.Pos(), Cond: &ast.UnaryExpr{Op: token.NOT, X: on}, Body: &ast.BlockStmt{List: []ast.Stmt{n}, Rbrace: n.End() - 1}})
	}
}

func (m *mutator) negate(n ast.Expr) ast.Expr {
	text := m.text(n)
	return m.call(n, "mutantNot", text, "!("+text+")", n)
}

// number makes a whole number greater by one. A negative one, which n includes the sign of, has its type as a whole.
func (m *mutator) number(n ast.Expr, literal *ast.BasicLit) ast.Expr {
	t := m.info.Types[n].Type
	if literal.Kind != token.INT || t == nil {
		return n
	}
	kind := types.TypeString(types.Default(t), types.RelativeTo(m.pkg))
	if named, ok := t.(*types.Named); ok && named.Obj().Pkg() != nil && named.Obj().Pkg() != m.pkg {
		kind = "mutant" + named.Obj().Name() // an alias, since not every file imports the package
	}
	return m.call(n, "mutantNumber["+kind+"]", m.text(n), m.text(n)+"+1", n)
}

// call counts a mutant and returns the call that switches it. The call stands where the node n stood, so that the text of
// what it is a part of can still be found.
func (m *mutator) call(n ast.Node, function, from, to string, args ...ast.Expr) ast.Expr {
	one := mutant{file: m.name, function: m.function, line: m.fset.Position(n.Pos()).Line, from: fmt.Sprintf("%.90s", from), to: fmt.Sprintf("%.90s", to)}
	m.alike[one.key()]++
	one.nth = m.alike[one.key()]
	m.mutants = append(m.mutants, one)
	id := &ast.BasicLit{Kind: token.INT, Value: fmt.Sprint(len(m.mutants))}
	return &ast.CallExpr{Fun: &ast.Ident{Name: function, NamePos: n.Pos()}, Args: append([]ast.Expr{id}, args...), Rparen: n.End() - 1}
}

func (m *mutator) text(n ast.Node) string {
	from, to := m.fset.Position(n.Pos()).Offset, m.fset.Position(n.End()).Offset
	return strings.Join(strings.Fields(string(m.source[from:to])), " ")
}

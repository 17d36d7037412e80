package main

import (
	"fmt"
	"go/types"
	"strings"
)

// describe returns a line for each exported name of a package, and for each exported method and field of its types.
func describe(pkg *types.Package) (lines []string) {
	p := printer{pkg}
	for _, name := range pkg.Scope().Names() {
		object := pkg.Scope().Lookup(name)
		if !object.Exported() {
			continue
		}
		switch object := object.(type) {
		case *types.Const:
			lines = append(lines, fmt.Sprintf("const %s %s = %s", name, p.typ(object.Type()), object.Val().ExactString()))
		case *types.Var:
			lines = append(lines, fmt.Sprintf("var %s %s", name, p.typ(object.Type())))
		case *types.Func:
			lines = append(lines, "func "+name+p.function(object))
		case *types.TypeName:
			lines = append(lines, p.named(object)...)
		}
	}
	return lines
}

// printer writes the types of other packages with their whole path.
type printer struct{ pkg *types.Package }

func (p printer) typ(t types.Type) string {
	return types.TypeString(t, func(other *types.Package) string {
		if other == p.pkg {
			return ""
		}
		return other.Path()
	})
}

// named describes a type. Of a struct the fields have lines of their own: one more breaks nothing. An interface has one line,
// since a method more breaks who implements it.
func (p printer) named(name *types.TypeName) []string {
	t := name.Type()
	if name.IsAlias() {
		return []string{fmt.Sprintf("type %s = %s", name.Name(), p.typ(types.Unalias(t)))}
	}
	head := "type " + strings.TrimSpace(name.Name()+p.typeParams(t))
	switch underlying := t.Underlying().(type) {
	case *types.Interface:
		return []string{head + " " + p.contract(underlying)}
	case *types.Struct:
		lines := []string{head + " struct"}
		if types.Comparable(t) {
			lines = append(lines, head+" struct, comparable")
		}
		return append(append(lines, p.fields(head, underlying)...), p.methods(t)...)
	default:
		return append([]string{head + " " + p.typ(underlying)}, p.methods(t)...)
	}
}

func (p printer) typeParams(t types.Type) string {
	named, ok := t.(*types.Named)
	if !ok || named.TypeParams().Len() == 0 {
		return ""
	}
	return p.constraints(named.TypeParams())
}

func (p printer) constraints(list *types.TypeParamList) string {
	var params []string
	for param := range list.TypeParams() {
		params = append(params, param.Obj().Name()+" "+p.typ(param.Constraint()))
	}
	if len(params) == 0 {
		return ""
	}
	return "[" + strings.Join(params, ", ") + "]"
}

// contract describes an interface. That nobody else can implement it is a part of it.
func (p printer) contract(t *types.Interface) string {
	var parts []string
	for method := range t.Methods() {
		if method.Exported() {
			parts = append(parts, method.Name()+p.function(method))
		} else if len(parts) == 0 || parts[0] != "unexported methods" {
			parts = append([]string{"unexported methods"}, parts...)
		}
	}
	for embedded := range t.EmbeddedTypes() {
		if _, ok := embedded.Underlying().(*types.Interface); !ok {
			parts = append(parts, p.typ(embedded))
		}
	}
	return "interface { " + strings.Join(parts, "; ") + " }"
}

func (p printer) fields(head string, t *types.Struct) (lines []string) {
	for field := range t.Fields() {
		switch {
		case !field.Exported():
		case field.Embedded():
			lines = append(lines, fmt.Sprintf("%s struct, embedded %s", head, p.typ(field.Type())))
		default:
			lines = append(lines, fmt.Sprintf("%s struct, %s %s", head, field.Name(), p.typ(field.Type())))
		}
	}
	return lines
}

// methods describes the methods of a type, with those of what it embeds.
func (p printer) methods(t types.Type) (lines []string) {
	byValue := types.NewMethodSet(t)
	for selection := range types.NewMethodSet(types.NewPointer(t)).Methods() {
		method, ok := selection.Obj().(*types.Func)
		if !ok || !method.Exported() {
			continue
		}
		receiver := "*" + p.typ(t)
		if byValue.Lookup(method.Pkg(), method.Name()) != nil {
			receiver = p.typ(t)
		}
		lines = append(lines, fmt.Sprintf("method (%s) %s%s", receiver, method.Name(), p.function(method)))
	}
	return lines
}

// function describes parameters and results, without their names: those may change.
func (p printer) function(f *types.Func) string {
	signature := f.Signature()
	text := p.constraints(signature.TypeParams()) + "(" + p.tuple(signature.Params(), signature.Variadic()) + ")"
	switch results := p.tuple(signature.Results(), false); signature.Results().Len() {
	case 0:
		return text
	case 1:
		return text + " " + results
	default:
		return text + " (" + results + ")"
	}
}

func (p printer) tuple(t *types.Tuple, variadic bool) string {
	var parts []string
	for v := range t.Variables() {
		parts = append(parts, p.typ(v.Type()))
	}
	if last := len(parts) - 1; variadic {
		parts[last] = "..." + strings.TrimPrefix(parts[last], "[]")
	}
	return strings.Join(parts, ", ")
}

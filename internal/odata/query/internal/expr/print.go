package expr

import (
	"strings"
	"unicode/utf8"
)

// Print returns the expression as text that ParseExpr reads back into the same
// tree. It is content.
func Print(e Expr) string { return string(e.AppendTo(nil)) }

// AppendQuoted appends s as a string literal in single quotes, as in a filter;
// not percent-encoded.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '\'')
	for {
		i := strings.IndexByte(s, '\'')
		if i < 0 {
			break
		}
		dst = append(dst, s[:i]...)
		dst = append(dst, "''"...)
		s = s[i+1:]
	}
	dst = append(dst, s...)
	return append(dst, '\'')
}

// AppendTo implements Expr.
func (e *Literal) AppendTo(dst []byte) []byte {
	prefix := ""
	switch e.Kind {
	case LitString:
	case LitDuration:
		prefix = "duration"
	case LitBinary:
		prefix = "binary"
	case LitEnum, LitGeo:
		prefix = e.Type
	case LitNull, LitBool, LitNumber, LitGUID, LitDate, LitDateTime, LitTimeOfDay:
		return append(dst, e.Text...)
	}
	dst = append(dst, prefix...)
	return AppendQuoted(dst, e.Text)
}

// AppendTo implements Expr.
func (e *Unary) AppendTo(dst []byte) []byte {
	dst = append(dst, e.Op...)
	dst = append(dst, ' ')
	return operand(dst, e.X, levelUnary)
}

// Levels of binding, as indexes of levels and beyond.
const (
	levelUnary   = 6
	levelPostfix = 7
	levelPrimary = 8
)

// bindingOf returns how tightly an expression binds.
func bindingOf(e Expr) int {
	switch e := e.(type) {
	case *Unary:
		return levelUnary
	case *Binary:
		for i, ops := range levels {
			for _, op := range ops {
				if op == e.Op {
					return i
				}
			}
		}
		return levelPostfix
	default:
		return levelPrimary
	}
}

// operand appends e, in parentheses if it binds more loosely than level.
func operand(dst []byte, e Expr, level int) []byte {
	if bindingOf(e) >= level {
		return e.AppendTo(dst)
	}
	dst = append(dst, '(')
	dst = e.AppendTo(dst)
	return append(dst, ')')
}

// AppendTo implements Expr.
func (e *Binary) AppendTo(dst []byte) []byte {
	level := bindingOf(e)
	dst = operand(dst, e.L, level)
	dst = append(dst, ' ')
	dst = append(dst, e.Op...)
	dst = append(dst, ' ')
	if level == levelPostfix {
		return operand(dst, e.R, levelPrimary)
	}
	return operand(dst, e.R, level+1)
}

// appendList appends n things separated by commas.
func appendList(dst []byte, n int, one func(dst []byte, i int) []byte) []byte {
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = one(dst, i)
	}
	return dst
}

// AppendTo implements Expr.
func (e *Call) AppendTo(dst []byte) []byte {
	dst = append(dst, e.Name...)
	dst = append(dst, '(')
	dst = appendList(dst, len(e.Args), func(dst []byte, i int) []byte { return e.Args[i].AppendTo(dst) })
	return append(dst, ')')
}

// AppendTo implements Expr.
func (e *Cast) AppendTo(dst []byte) []byte {
	if e.IsOf {
		dst = append(dst, "isof("...)
	} else {
		dst = append(dst, "cast("...)
	}
	if e.X != nil {
		dst = e.X.AppendTo(dst)
		dst = append(dst, ',')
	}
	dst = append(dst, e.Type...)
	return append(dst, ')')
}

// AppendTo implements Expr.
func (e *Case) AppendTo(dst []byte) []byte {
	dst = append(dst, "case("...)
	dst = appendList(dst, len(e.When), func(dst []byte, i int) []byte {
		dst = e.When[i].If.AppendTo(dst)
		dst = append(dst, ':')
		return e.When[i].Then.AppendTo(dst)
	})
	return append(dst, ')')
}

// AppendTo implements Expr.
func (e *Alias) AppendTo(dst []byte) []byte {
	dst = append(dst, '@')
	return append(dst, e.Name...)
}

// AppendTo implements Expr.
func (e *List) AppendTo(dst []byte) []byte {
	dst = append(dst, '(')
	dst = appendList(dst, len(e.Items), func(dst []byte, i int) []byte { return e.Items[i].AppendTo(dst) })
	return append(dst, ')')
}

// AppendTo implements Expr.
func (e *Array) AppendTo(dst []byte) []byte {
	dst = append(dst, '[')
	dst = appendList(dst, len(e.Items), func(dst []byte, i int) []byte { return e.Items[i].AppendTo(dst) })
	return append(dst, ']')
}

// AppendTo implements Expr.
func (e *Object) AppendTo(dst []byte) []byte {
	dst = append(dst, '{')
	dst = appendList(dst, len(e.Members), func(dst []byte, i int) []byte {
		dst = appendJSON(dst, e.Members[i].Name)
		dst = append(dst, ':')
		return e.Members[i].Value.AppendTo(dst)
	})
	return append(dst, '}')
}

// appendJSON appends s as a JSON string.
func appendJSON(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// AppendTo implements Expr.
func (e *Path) AppendTo(dst []byte) []byte {
	for i := range e.Steps {
		if i > 0 && e.Steps[i].Kind != StepKey {
			dst = append(dst, '/')
		}
		dst = e.Steps[i].appendTo(dst)
	}
	return dst
}

func (s *Step) appendTo(dst []byte) []byte {
	switch s.Kind {
	case StepName:
		return append(dst, s.Name...)
	case StepCall, StepKey:
		dst = append(dst, s.Name...)
		return AppendArgs(dst, s.Args)
	case StepAny, StepAll:
		word := "any("
		if s.Kind == StepAll {
			word = "all("
		}
		dst = append(dst, word...)
		if s.Var != "" {
			dst = append(dst, s.Var...)
			dst = append(dst, ':')
			dst = s.Pred.AppendTo(dst)
		}
		return append(dst, ')')
	case StepCount:
		dst = append(dst, "$count"...)
		if s.Pred == nil && s.Search == "" {
			return dst
		}
		dst = append(dst, '(')
		if s.Pred != nil {
			dst = append(dst, "$filter="...)
			dst = s.Pred.AppendTo(dst)
		}
		if s.Search != "" {
			if s.Pred != nil {
				dst = append(dst, ';')
			}
			dst = append(dst, "$search="...)
			dst = append(dst, s.Search...)
		}
		return append(dst, ')')
	case StepFilter:
		dst = append(dst, "$filter("...)
		dst = s.Pred.AppendTo(dst)
		return append(dst, ')')
	case StepIt:
		return append(dst, "$it"...)
	case StepThis:
		return append(dst, "$this"...)
	case StepRoot:
		return append(dst, "$root"...)
	case StepAnnotation:
		dst = append(dst, '@')
		dst = append(dst, s.Name...)
		if s.Qualifier != "" {
			dst = append(dst, '#')
			dst = append(dst, s.Qualifier...)
		}
		return dst
	case StepAlias:
		dst = append(dst, '@')
		return append(dst, s.Name...)
	}
	return dst
}

// AppendArgs appends a key or arguments in parentheses.
func AppendArgs(dst []byte, args []Arg) []byte {
	dst = append(dst, '(')
	dst = appendList(dst, len(args), func(dst []byte, i int) []byte {
		if args[i].Name != "" {
			dst = append(dst, args[i].Name...)
			dst = append(dst, '=')
		}
		return args[i].Value.AppendTo(dst)
	})
	return append(dst, ')')
}

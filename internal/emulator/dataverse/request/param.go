package request

import (
	"encoding/json"

	"allod/internal/odata/query"
)

// Param returns a parameter of the function the segment calls, aliases
// resolved; nil when it is not given.
func (c *Call) Param(seg *query.Segment, name string) query.Expr {
	for _, a := range seg.Args {
		if a.Name != name {
			continue
		}
		if alias, ok := a.Value.(*query.Alias); ok {
			return c.Req.Options.Aliases[alias.Name]
		}
		if p, ok := a.Value.(*query.Path); ok && len(p.Steps) == 1 && p.Steps[0].Kind == query.StepAlias {
			return c.Req.Options.Aliases[p.Steps[0].Name]
		}
		return a.Value
	}
	return nil
}

// JSON writes a parameter as the JSON it stands for; nil when it is no
// literal, object or array.
func JSON(e query.Expr) json.RawMessage {
	b, err := json.Marshal(plain(e))
	if err != nil || string(b) == "null" {
		return nil
	}
	return b
}

func plain(e query.Expr) any {
	switch e := e.(type) {
	case *query.Literal:
		switch e.Kind {
		case query.LitNull:
			return nil
		case query.LitBool:
			return e.Text == "true"
		case query.LitNumber:
			return json.Number(e.Text)
		default:
			return e.Text
		}
	case *query.Array:
		return plainAll(e.Items)
	case *query.List:
		return plainAll(e.Items)
	case *query.Object:
		out := map[string]any{}
		for _, m := range e.Members {
			out[m.Name] = plain(m.Value)
		}
		return out
	}
	return nil
}

func plainAll(items []query.Expr) []any {
	out := make([]any, len(items))
	for i, item := range items {
		out[i] = plain(item)
	}
	return out
}

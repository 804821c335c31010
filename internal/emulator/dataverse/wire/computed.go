package wire

import (
	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/formula"
	"allod/internal/emulator/dataverse/store"
)

// formulas reads those of calculated columns. A definition that is not
// understood, such as the XAML of a real one, leaves the column a plain one.
func formulas(m *entity.Model) map[*entity.Column]*formula.Formula {
	out := map[*entity.Column]*formula.Formula{}
	for _, t := range m.Tables {
		for _, c := range t.Columns {
			if c.SourceType != formula.Calculated && c.SourceType != formula.Fx {
				continue
			}
			if f, err := formula.Parse(formula.Definition(c)); err == nil {
				out[c] = f
			}
		}
	}
	return out
}

// maxNested is how deep calculated columns may rest on each other.
const maxNested = 5

// Value reads a column of a row: what the store holds, or what the formula of
// a calculated column makes of the row now.
func (s *Schema) Value(tx *store.Tx, t *entity.Table, r *store.Row, c *entity.Column) allod.Value {
	if f := s.formulas[c]; f != nil {
		return s.computed(tx, t, r, c, f, 0)
	}
	return tx.Value(t.LogicalName, r, c.LogicalName)
}

func (s *Schema) computed(tx *store.Tx, t *entity.Table, r *store.Row, c *entity.Column, f *formula.Formula, depth int) allod.Value {
	return f.Eval(c, s.env, func(lookup, column string) allod.Value {
		t, r := t, r
		if lookup != "" {
			target, id := tx.Value(t.LogicalName, r, lookup).Target()
			if t = s.Model.Table(target); t == nil {
				return allod.NullValue()
			}
			if r = tx.Get(target, id); r == nil {
				return allod.NullValue()
			}
		}
		of := t.Column(column)
		if of == nil {
			return allod.NullValue()
		}
		if f := s.formulas[of]; f != nil {
			if depth >= maxNested {
				return allod.NullValue()
			}
			return s.computed(tx, t, r, of, f, depth+1)
		}
		return tx.Value(t.LogicalName, r, of.LogicalName)
	})
}

// appendComputed appends a calculated column with its annotations.
func (p *Plan) appendComputed(dst []byte, tx *store.Tx, c *planned, r *store.Row) []byte {
	v := allod.NullValue()
	if !c.hidden {
		v = p.schema.Value(tx, p.table, r, c.col)
	}
	if v.IsNull() {
		return append(append(append(dst, ','), c.member...), "null"...)
	}
	raw := store.Raw{Type: v.Type()}
	if v.Type() == allod.Integer || v.Type() == allod.Boolean {
		raw.Num = v.Int()
	} else {
		raw.Text = v.Text()
	}
	return p.appendCell(dst, tx, c, &raw)
}

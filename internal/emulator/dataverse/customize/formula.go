package customize

import (
	"slices"

	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/formula"
)

// source reads SourceType and FormulaDefinition of a new column and returns the
// columns that come along: time and state of a rollup. A formula that would not
// be evaluated is refused ("Formula, calculated, and rollup columns using
// code").
func (w *work) source(t *entity.Table, c *entity.Column, o entity.Object) ([]*entity.Column, error) {
	kind, _ := whole(o, "SourceType")
	if kind == 0 {
		return nil, nil
	}
	if t.TableType == "Virtual" {
		return nil, invalid("SourceType of the attribute %s must be 0: the entity %s is virtual.", c.LogicalName, t.LogicalName)
	}
	if err := w.evaluates(t, c, kind, text(o, "FormulaDefinition")); err != nil {
		return nil, err
	}
	c.SourceType, c.ValidForRead = kind, true // and for nothing else
	if kind != formula.Rolled {
		return nil, nil
	}
	return []*entity.Column{
		{LogicalName: c.LogicalName + "_date", SchemaName: c.SchemaName + "_Date", Kind: "DateTime", EdmType: "Edm.DateTimeOffset", Behavior: "UserLocal", ValidForRead: true},
		{LogicalName: c.LogicalName + "_state", SchemaName: c.SchemaName + "_State", Kind: "Integer", EdmType: "Edm.Int32", ValidForRead: true},
	}, nil
}

// reformulate checks the formula that an update of a column brings; whether a
// column has one does not change.
func (w *work) reformulate(t *entity.Table, c *entity.Column) error {
	given := text(w.body, "FormulaDefinition")
	if given == "" || given == formula.Definition(c) {
		return nil
	}
	return w.evaluates(t, c, c.SourceType, given)
}

// evaluates refuses a formula that is not understood, reads columns that do not
// exist, or would give what the column cannot hold.
func (w *work) evaluates(t *entity.Table, c *entity.Column, kind int, text string) error {
	no := func(why string) error {
		return invalid("The formula of the attribute %s is not evaluated by this emulator: %s.", c.LogicalName, why)
	}
	column := func(t *entity.Table, name string) *entity.Column {
		if t == nil {
			return nil
		}
		x := t.Column(name)
		if x == nil || x.LogicalName != name || x == c {
			return nil
		}
		return x
	}
	switch kind {
	case formula.Calculated, formula.Fx:
		f, err := formula.Parse(text)
		if err != nil {
			return no(err.Error())
		}
		if !slices.Contains([]entity.ColumnKind{"String", "Integer", "Decimal", "DateTime", "Boolean"}, c.Kind) {
			return no("columns of type " + string(c.Kind) + " are not calculated")
		}
		for _, r := range f.Refs {
			of := t
			if r.Lookup != "" {
				l := column(t, r.Lookup)
				if l == nil || len(l.Targets) == 0 {
					return no("there is no lookup " + r.Lookup)
				}
				of = w.m.Table(l.Targets[0])
			}
			if column(of, r.Column) == nil {
				return no("there is no column " + r.Column)
			}
		}
		return nil
	case formula.Rolled:
		r, err := formula.ParseRollup(text)
		if err != nil {
			return no(err.Error())
		}
		if !slices.Contains([]entity.ColumnKind{"Integer", "Decimal", "DateTime"}, c.Kind) {
			return no("columns of type " + string(c.Kind) + " are not rolled up")
		}
		below := w.m.Table(r.Table)
		if l := column(below, r.Lookup); l == nil || !slices.Contains(l.Targets, t.LogicalName) {
			return no(r.Table + " has no lookup " + r.Lookup + " to " + t.LogicalName)
		}
		names := []string{r.Column}
		for _, x := range r.Where {
			names = append(names, x.Column)
		}
		for _, name := range names {
			if name != "" && column(below, name) == nil {
				return no("there is no column " + name)
			}
		}
		return nil
	}
	return no("its SourceType is none that is known")
}

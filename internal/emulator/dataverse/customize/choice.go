package customize

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/describe"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// firstValue is what the values of new choices count from: the option value
// prefix of the default publisher.
const firstValue = 100000000

// setSaid is what is kept of a set of choices.
func (w *work) setSaid(o entity.Object) []byte {
	out := entity.Object{{Name: "MetadataId", Value: w.Org.NewID().String()}, {Name: "IsCustomOptionSet", Value: true}}
	for _, name := range []string{"DisplayName", "Description"} {
		if label := object(o, name); label != nil {
			out = append(out, entity.Member{Name: name, Value: w.label(label, nil, false)})
		}
	}
	return fresh(out...)
}

// option reads one choice.
func (w *work) option(o entity.Object) entity.Option {
	x := entity.Option{Label: title(object(o, "Label")), Said: []byte("{}")}
	x.Value, _ = whole(o, "Value")
	w.sayOption(&x, o, false)
	return x
}

// sayOption takes over what is said of a choice.
func (w *work) sayOption(x *entity.Option, o entity.Object, merge bool) {
	old := describe.Said(x.Said)
	out := entity.Object{{Name: "IsManaged", Value: false}}
	for _, m := range o {
		switch m.Name {
		case "Label", "Description":
			if given, ok := m.Value.(entity.Object); ok {
				out = append(out, entity.Member{Name: m.Name, Value: w.label(given, object(old, m.Name), merge)})
			}
		case "Color", "ExternalValue", "IsHidden":
			out = append(out, m)
		}
	}
	x.Said = describe.Over(old, out).AppendJSON(nil)
	if s := title(object(out, "Label")); s != "" {
		x.Label = s
	}
}

// options reads choices; those without a value get the next.
func (w *work) options(list []entity.Object) ([]entity.Option, error) {
	var out []entity.Option
	for _, o := range list {
		x := w.option(o)
		if _, given := whole(o, "Value"); !given {
			x.Value = next(out)
		}
		if at(out, x.Value) >= 0 {
			return nil, takenValue(x.Value)
		}
		out = append(out, x)
	}
	return out, nil
}

func takenValue(n int) error {
	return invalid("An option with the value %d already exists in the option set.", n)
}

// next is the value of a choice that is given none.
func next(list []entity.Option) int {
	n := firstValue
	for _, x := range list {
		n = max(n, x.Value+1)
	}
	return n
}

func at(list []entity.Option, value int) int {
	return slices.IndexFunc(list, func(x entity.Option) bool { return x.Value == value })
}

// twoOptions reads FalseOption and TrueOption.
func (w *work) twoOptions(set *entity.OptionSet, o entity.Object) error {
	set.Options = []entity.Option{{Value: 0, Label: "No"}, {Value: 1, Label: "Yes"}}
	for i, name := range []string{"FalseOption", "TrueOption"} {
		given := object(o, name)
		if given == nil {
			continue
		}
		x := w.option(given)
		if v, ok := whole(given, "Value"); ok && v != i {
			return invalid("The value of %s must be %d.", name, i)
		}
		x.Value = i
		set.Options[i] = x
	}
	return nil
}

// createSet is POST GlobalOptionSetDefinitions.
func (w *work) createSet() error {
	name, err := schemaName("option set", text(w.body, "Name"))
	if err != nil {
		return err
	}
	name = strings.ToLower(name)
	for _, c := range describe.Globals(w.m) {
		if c.OptionSet.Name == name {
			return duplicate(name, "OptionSet")
		}
	}
	set := &entity.OptionSet{Name: name, Global: true, Said: w.setSaid(w.body)}
	if text(w.body, "OptionSetType") == "Boolean" || strings.HasSuffix(text(w.body, "@odata.type"), "BooleanOptionSetMetadata") {
		set.Said = describe.Over(describe.Said(set.Said), entity.Object{{Name: "OptionSetType", Value: "Boolean"}}).AppendJSON(nil)
		err = w.twoOptions(set, w.body)
	} else {
		set.Options, err = w.options(objects(w.body, "Options"))
	}
	if err != nil {
		return err
	}
	w.m.Choices = append(w.m.Choices, set)
	w.made = "GlobalOptionSetDefinitions(" + idIn(set.Said).String() + ")"
	return nil
}

// globalSet finds a global choice by the key of a path, and its id.
func (w *work) globalSet(seg *query.Segment) (*entity.Column, allod.GUID, error) {
	for _, c := range describe.Globals(w.m) {
		o, ok := describe.Choices(c)
		if !ok {
			continue
		}
		id, _ := allod.ParseGUID(text(o, "MetadataId")) // ours
		if describe.Named(seg, c.OptionSet.Name, id, "Name") {
			return c, id, nil
		}
	}
	return nil, allod.GUID{}, wire.Refuse(http.StatusNotFound, "0x80044183", "The requested choice was not found.")
}

// updateSet is PUT GlobalOptionSetDefinitions(…): labels and the like; options
// have messages of their own.
func (w *work) updateSet() error {
	c, id, err := w.globalSet(&w.Req.Path[0])
	if err != nil {
		return err
	}
	o, _ := describe.Choices(c)
	set := *c.OptionSet
	if set.Said, err = w.keep(o, w.body, set.Said, "Options", "TrueOption", "FalseOption", "Name", "IsGlobal", "IsCustomOptionSet", "OptionSetType"); err != nil {
		return err
	}
	set.Said = describe.Over(describe.Said(set.Said), entity.Object{{Name: "MetadataId", Value: id.String()}}).AppendJSON(nil)
	w.replace(c, &set)
	w.made = "GlobalOptionSetDefinitions(" + id.String() + ")"
	return nil
}

// deleteSet removes a global choice that an administrator made and no column
// uses.
func (w *work) deleteSet() error {
	c, _, err := w.globalSet(&w.Req.Path[0])
	if err != nil {
		return err
	}
	if !unmanaged(c.OptionSet.Said) {
		return wire.Refuse(http.StatusBadRequest, "0x80048404", "The selected OptionSet cannot be deleted")
	}
	var users []string
	for _, t := range w.m.Tables {
		if slices.ContainsFunc(t.Columns, func(x *entity.Column) bool { return sameSet(x.OptionSet, c.OptionSet) }) {
			users = append(users, t.LogicalName)
		}
	}
	if len(users) > 0 {
		return wire.Refuse(http.StatusBadRequest, "0x80048417", "This option set cannot be deleted. The current set of entities that reference this option set are: %s. These references must be removed before this option set can be deleted", strings.Join(users, ","))
	}
	w.m.Choices = slices.DeleteFunc(w.m.Choices, func(x *entity.OptionSet) bool { return sameSet(x, c.OptionSet) })
	return nil
}

// sameSet reports whether two sets of choices are one: the same, or global and
// of one name.
func sameSet(a, b *entity.OptionSet) bool {
	return a == b || a != nil && b != nil && a.Global && b.Global && a.Name == b.Name
}

// replace puts another set of choices in the place of that of the column: there
// alone, or wherever a global one is used.
func (w *work) replace(c *entity.Column, set *entity.OptionSet) {
	same := func(x *entity.OptionSet) bool { return sameSet(x, c.OptionSet) }
	for i, x := range w.m.Choices {
		if same(x) {
			w.m.Choices[i] = set
		}
	}
	for _, t := range slices.Clone(w.m.Tables) {
		if !slices.ContainsFunc(t.Columns, func(x *entity.Column) bool { return same(x.OptionSet) }) {
			continue
		}
		t = w.own(t)
		for _, x := range slices.Clone(t.Columns) {
			if same(x.OptionSet) {
				w.ownColumn(t, x).OptionSet = set
			}
		}
		w.refresh(t)
	}
}

// choices finds the choices that an action is about: OptionSetName, or
// EntityLogicalName and AttributeLogicalName.
func (w *work) choices() (*entity.Column, *entity.OptionSet, error) {
	found := func(c *entity.Column) (*entity.Column, *entity.OptionSet, error) {
		set := *c.OptionSet
		set.Options = slices.Clone(set.Options)
		return c, &set, nil
	}
	if name := text(w.body, "OptionSetName"); name != "" {
		for _, c := range describe.Globals(w.m) {
			if c.OptionSet.Name == name {
				return found(c)
			}
		}
		return nil, nil, invalid("The option set %s does not exist.", name)
	}
	t, err := w.named(text(w.body, "EntityLogicalName"))
	if err != nil {
		return nil, nil, err
	}
	c := t.Column(text(w.body, "AttributeLogicalName"))
	if c == nil || c.OptionSet == nil || c.LogicalName != text(w.body, "AttributeLogicalName") {
		return nil, nil, invalid("The attribute %s of the entity %s has no option set.", text(w.body, "AttributeLogicalName"), t.LogicalName)
	}
	return found(c)
}

// open says whether options can be added to and taken from the choices.
func open(c *entity.Column) error {
	switch c.Kind {
	case "Picklist", "MultiSelectPicklist":
		return nil
	}
	return wire.Refuse(http.StatusBadRequest, "0x80044323", "You can delete options only from picklist and status attributes.")
}

func (w *work) insertOption() error {
	c, set, err := w.choices()
	if err != nil {
		return err
	}
	if err := open(c); err != nil {
		return invalid("An option cannot be inserted into the attribute %s of type %s.", c.LogicalName, c.Kind)
	}
	return w.insert(c, set, entity.Option{}, "NewOptionValue")
}

// insert adds the option of the body and answers with its value.
func (w *work) insert(c *entity.Column, set *entity.OptionSet, x entity.Option, result string) error {
	if title(object(w.body, "Label")) == "" {
		return invalid("Required field 'Label' is missing.")
	}
	w.sayOption(&x, w.body, false)
	n, given := whole(w.body, "Value")
	if x.Value = n; !given {
		x.Value = next(set.Options)
	}
	if at(set.Options, x.Value) >= 0 {
		return takenValue(x.Value)
	}
	set.Options = append(set.Options, x)
	w.replace(c, set)
	w.result = map[string]any{result: x.Value}
	return nil
}

// insertStatus is InsertStatusValue: a status belongs to a state.
func (w *work) insertStatus() error {
	c, set, err := w.choices()
	if err != nil {
		return err
	}
	if c.Kind != "Status" {
		return invalid("The attribute %s is not of type Status.", c.LogicalName)
	}
	state, ok := whole(w.body, "StateCode")
	t := w.m.Table(text(w.body, "EntityLogicalName"))
	if t == nil || t.Column("statecode") == nil || t.Column("statecode").OptionSet == nil || !ok || at(t.Column("statecode").OptionSet.Options, state) < 0 {
		return invalid("The state %d does not exist.", state)
	}
	return w.insert(c, set, entity.Option{State: state}, "NewOptionValue")
}

func (w *work) updateOption() error {
	c, set, err := w.choices()
	if err != nil {
		return err
	}
	return w.reword(c, set)
}

// reword changes labels of the option that Value names.
func (w *work) reword(c *entity.Column, set *entity.OptionSet) error {
	n, ok := whole(w.body, "Value")
	i := at(set.Options, n)
	if !ok || i < 0 {
		return invalid("The option %d does not exist in the option set %s.", n, set.Name)
	}
	merge, _ := flag(w.body, "MergeLabels")
	x := &set.Options[i]
	if x.Said == nil { // the label that the model derives counts as what was said
		o, _ := describe.Choices(c)
		for _, shown := range slices.Concat(objects(o, "Options"), []entity.Object{object(o, "TrueOption"), object(o, "FalseOption")}) {
			if v, is := whole(shown, "Value"); is && v == n {
				x.Said = entity.Object{{Name: "Label", Value: object(shown, "Label")}}.AppendJSON(nil)
			}
		}
	}
	w.sayOption(x, w.body, merge)
	w.replace(c, set)
	return nil
}

// updateState is UpdateStateValue: label and default status of a state.
func (w *work) updateState() error {
	c, set, err := w.choices()
	if err != nil {
		return err
	}
	if c.Kind != "State" {
		return invalid("The attribute %s is not of type State.", c.LogicalName)
	}
	n, _ := whole(w.body, "Value")
	i := at(set.Options, n)
	if status, ok := whole(w.body, "DefaultStatusCode"); ok && i >= 0 {
		t := w.m.Table(text(w.body, "EntityLogicalName"))
		codes := t.Column("statuscode")
		if codes == nil || codes.OptionSet == nil || !slices.ContainsFunc(codes.OptionSet.Options, func(x entity.Option) bool { return x.Value == status && x.State == n }) {
			return invalid("The status %d does not belong to the state %d.", status, n)
		}
		set.Options[i].DefaultStatus = status
	}
	return w.reword(c, set)
}

func (w *work) deleteOption() error {
	c, set, err := w.choices()
	if err != nil {
		return err
	}
	n, ok := whole(w.body, "Value")
	i := at(set.Options, n)
	if c.Kind != "Status" {
		if err := open(c); err != nil {
			return err
		}
	} else if t := w.m.Table(text(w.body, "EntityLogicalName")); i >= 0 && t != nil && t.Column("statecode") != nil && t.Column("statecode").OptionSet != nil {
		if slices.ContainsFunc(t.Column("statecode").OptionSet.Options, func(x entity.Option) bool { return x.DefaultStatus == n }) {
			return wire.Refuse(http.StatusBadRequest, "0x80044341", "Default Status options cannot be deleted.")
		}
	}
	if !ok || i < 0 {
		return invalid("The option %d does not exist in the option set %s.", n, set.Name)
	}
	set.Options = slices.Delete(set.Options, i, i+1)
	w.replace(c, set)
	return nil
}

// orderOptions is OrderOption: the values name every option once.
func (w *work) orderOptions() error {
	c, set, err := w.choices()
	if err != nil {
		return err
	}
	var b struct{ Values []int }
	if err := json.Unmarshal(w.Body, &b); err != nil {
		return mistyped("Values")
	}
	var out []entity.Option
	for _, n := range b.Values {
		i := at(set.Options, n)
		if i < 0 || at(out, n) >= 0 {
			return invalid("The value %d is not an option of %s, or is there twice.", n, set.Name)
		}
		out = append(out, set.Options[i])
	}
	if len(out) != len(set.Options) {
		return invalid("Values must name every option of %s.", set.Name)
	}
	set.Options = out
	w.replace(c, set)
	return nil
}

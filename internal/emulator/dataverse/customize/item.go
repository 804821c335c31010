package customize

import (
	"net/http"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/describe"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
)

func text(o entity.Object, path string) string {
	v, _ := o.Get(path)
	s, _ := v.(string)
	return s
}

// flag is a boolean member, or the Value of a managed property.
func flag(o entity.Object, path string) (value, ok bool) {
	v, _ := o.Get(path)
	if m, is := v.(entity.Object); is {
		v, _ = m.Get("Value")
	}
	value, ok = v.(bool)
	return value, ok
}

func number(o entity.Object, path string) (float64, bool) {
	v, _ := o.Get(path)
	switch x := v.(type) {
	case int:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

func whole(o entity.Object, path string) (int, bool) {
	v, _ := o.Get(path)
	n, ok := v.(int)
	return n, ok
}

func object(o entity.Object, path string) entity.Object {
	v, _ := o.Get(path)
	x, _ := v.(entity.Object)
	return x
}

func objects(o entity.Object, path string) []entity.Object {
	v, _ := o.Get(path)
	x, _ := v.([]entity.Object)
	return x
}

func texts(o entity.Object, path string) []string {
	v, _ := o.Get(path)
	x, _ := v.([]string)
	return x
}

// title is the text of a Label: that of the user's language, else English,
// else the first.
func title(label entity.Object) string {
	if s := text(label, "UserLocalizedLabel/Label"); s != "" {
		return s
	}
	list := objects(label, "LocalizedLabels")
	for _, x := range list {
		if n, _ := whole(x, "LanguageCode"); n == 1033 {
			return text(x, "Label")
		}
	}
	if len(list) > 0 {
		return text(list[0], "Label")
	}
	return ""
}

// label makes the Label that is kept of one that came. Languages keep the ids
// they had; those that did not come stay with merge and go without
// (protocols/dataverse.md §2.2, MSCRM.MergeLabels).
func (w *work) label(given, old entity.Object, merge bool) entity.Object {
	var list []entity.Object
	was := map[int]entity.Object{}
	for _, x := range objects(old, "LocalizedLabels") {
		code, _ := whole(x, "LanguageCode")
		was[code] = x
	}
	came := map[int]bool{}
	for _, x := range objects(given, "LocalizedLabels") {
		code, ok := whole(x, "LanguageCode")
		if !ok || came[code] {
			continue
		}
		came[code] = true
		id := text(was[code], "MetadataId")
		if id == "" {
			id = w.Org.NewID().String()
		}
		list = append(list, entity.Object{
			{Name: "Label", Value: text(x, "Label")},
			{Name: "LanguageCode", Value: code},
			{Name: "IsManaged", Value: false},
			{Name: "MetadataId", Value: id},
			{Name: "HasChanged", Value: nil},
		})
	}
	for _, x := range objects(old, "LocalizedLabels") {
		if code, _ := whole(x, "LanguageCode"); merge && !came[code] {
			list = append(list, x)
		}
	}
	if len(list) == 0 {
		return entity.Object{{Name: "LocalizedLabels", Value: []entity.Object{}}, {Name: "UserLocalizedLabel", Value: nil}}
	}
	user := list[0]
	for _, x := range list {
		if code, _ := whole(x, "LanguageCode"); code == 1033 {
			user = x
		}
	}
	return entity.Object{{Name: "LocalizedLabels", Value: list}, {Name: "UserLocalizedLabel", Value: user}}
}

// merge says whether labels in languages that do not come are kept.
func (w *work) merge() bool { return strings.EqualFold(w.Header.Get("MSCRM.MergeLabels"), "true") }

// keep is what is to be remembered of a definition: members of def that came in
// body, but those that follow from the model (fixed), over what was remembered.
// A member of another type than the definition's is refused.
func (w *work) keep(def, body entity.Object, said []byte, fixed ...string) ([]byte, error) {
	var out entity.Object
	for _, m := range body {
		was, known := def.Get(m.Name)
		if !known || m.Value == nil || strings.HasPrefix(m.Name, "@") || slices.Contains(fixed, m.Name) || slices.Contains(everFixed(), m.Name) {
			continue
		}
		switch is := was.(type) {
		case entity.Object:
			given, ok := m.Value.(entity.Object)
			if !ok {
				return nil, mistyped(m.Name)
			}
			if _, label := is.Get("LocalizedLabels"); label {
				m.Value = w.label(given, is, w.merge())
				break
			}
			m.Value = describe.Over(is, slices.DeleteFunc(slices.Clone(given), func(x entity.Member) bool {
				_, known := is.Get(x.Name)
				return !known || x.Value == nil || strings.HasPrefix(x.Name, "@")
			}))
		case bool:
			if _, ok := m.Value.(bool); !ok {
				return nil, mistyped(m.Name)
			}
		case string:
			if _, ok := m.Value.(string); !ok {
				return nil, mistyped(m.Name)
			}
		case int, float64:
			if _, ok := number(body, m.Name); !ok {
				return nil, mistyped(m.Name)
			}
		}
		out = append(out, m)
	}
	return describe.Over(describe.Said(said), out).AppendJSON(nil), nil
}

func mistyped(name string) error {
	return wire.BadPayload("An unexpected value was found when reading the property '%s'.", name)
}

// everFixed are members that no client sets.
func everFixed() []string {
	return []string{"MetadataId", "LogicalName", "SchemaName", "HasChanged", "IsManaged", "IntroducedVersion"}
}

// fresh are the members that tell what an administrator made from what came
// with a solution.
func fresh(more ...entity.Member) []byte {
	o := entity.Object{{Name: "IsManaged", Value: false}, {Name: "IntroducedVersion", Value: "1.0.0.0"}}
	return append(o, more...).AppendJSON(nil)
}

// unmanaged reports whether an administrator made the item.
func unmanaged(said []byte) bool {
	managed, ok := flag(describe.Said(said), "IsManaged")
	return ok && !managed
}

// idIn is the MetadataId that is kept with what was said.
func idIn(said []byte) allod.GUID {
	id, _ := allod.ParseGUID(text(describe.Said(said), "MetadataId")) // zero without one
	return id
}

// schemaName checks the name of something new: a publisher's prefix of two to
// eight letters and digits, an underscore, letters, digits and underscores.
func schemaName(kind, name string) (string, error) {
	if name == "" {
		return "", invalid("Required field 'SchemaName' is missing.")
	}
	prefix, rest, ok := strings.Cut(name, "_")
	plain := func(s string, also string) bool {
		return strings.IndexFunc(s, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(also, r)
		}) < 0
	}
	if !ok || len(prefix) < 2 || len(prefix) > 8 || rest == "" || !plain(prefix, "") || prefix[0] <= '9' || strings.HasPrefix(strings.ToLower(prefix), "mscrm") {
		return "", wire.Refuse(http.StatusBadRequest, "0x80048062", "Invalid name for %s %s. Custom %s names must start with a valid customization prefix. The prefix for a solution component should match the prefix that is specified for the publisher of the solution.", kind, name, kind)
	}
	if !plain(rest, "_") || len(name) > 100 {
		return "", invalid("The name %s of a %s is not valid: it may have 100 letters, digits and underscores.", name, kind)
	}
	return name, nil
}

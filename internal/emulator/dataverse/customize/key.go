package customize

import (
	"net/http"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/describe"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/keyindex"
	"allod/internal/emulator/dataverse/wire"
)

// What a key may have (protocols/dataverse.md §3.4).
const (
	maxKeys       = 10
	maxKeyColumns = 16
)

// createKey is POST EntityDefinitions(…)/Keys. Its index is built afterwards:
// where rows are alike it fails, and the key with it.
func (w *work) createKey() error {
	t, err := w.table()
	if err != nil {
		return err
	}
	name, err := schemaName("entity key", text(w.body, "SchemaName"))
	if err != nil {
		return err
	}
	k := &entity.Key{SchemaName: name, Columns: texts(w.body, "KeyAttributes")}
	if err := w.checkKey(t, k); err != nil {
		return err
	}
	id := w.Org.NewID()
	said := entity.Object{{Name: "MetadataId", Value: id.String()}}
	if label := object(w.body, "DisplayName"); label != nil {
		said = append(said, entity.Member{Name: "DisplayName", Value: w.label(label, nil, false)})
	}
	k.Said = fresh(said...)
	t = w.own(t)
	k.Status = keyindex.Pending
	t.Failed = append(t.Failed, k)
	w.build(t, k)
	w.made = w.below(id.String(), "Keys")
	return nil
}

func (w *work) checkKey(t *entity.Table, k *entity.Key) error {
	all := slices.Concat(t.Keys, t.Failed)
	if slices.ContainsFunc(all, func(x *entity.Key) bool { return strings.EqualFold(x.SchemaName, k.SchemaName) }) {
		return duplicate(k.SchemaName, "EntityKey")
	}
	switch {
	case len(all) >= maxKeys:
		return invalid("The entity %s has %d keys, which is the limit.", t.LogicalName, maxKeys)
	case len(k.Columns) == 0 || len(k.Columns) > maxKeyColumns:
		return invalid("A key has from one to %d attributes.", maxKeyColumns)
	case t.TableType == "Virtual" || t.Intersect:
		return invalid("The entity %s can have no keys.", t.LogicalName)
	}
	for i, name := range k.Columns {
		c := t.Column(name)
		if c == nil || c.LogicalName != name || slices.Contains(k.Columns[:i], name) {
			return invalid("The attribute %s does not exist in the entity %s, or is there twice.", name, t.LogicalName)
		}
		switch c.Kind {
		case "Decimal", "Integer", "String", "DateTime", "Lookup", "Picklist":
		default:
			return invalid("The attribute %s of type %s cannot be part of a key.", name, c.Kind)
		}
		if c.Secured {
			return invalid("The attribute %s is secured and cannot be part of a key.", name)
		}
	}
	return nil
}

// deleteKey is DELETE EntityDefinitions(…)/Keys(…).
func (w *work) deleteKey() error {
	t, err := w.table()
	if err != nil {
		return err
	}
	for i, o := range describe.Keys(t) {
		id, _ := allod.ParseGUID(text(o, "MetadataId")) // ours
		if !describe.Named(&w.Req.Path[1], text(o, "LogicalName"), id, "LogicalName") {
			continue
		}
		k := slices.Concat(t.Keys, t.Failed)[i]
		if !unmanaged(k.Said) {
			return notDeletable(k.SchemaName, id)
		}
		t = w.own(t)
		is := func(x *entity.Key) bool { return x == k }
		t.Keys, t.Failed = slices.DeleteFunc(t.Keys, is), slices.DeleteFunc(t.Failed, is)
		return nil
	}
	return wire.Refuse(http.StatusNotFound, "0x80044183", "The requested metadata item was not found.")
}

// reactivateKey is ReactivateEntityKey: it tries once more to build an index
// that failed.
func (w *work) reactivateKey() error {
	t, err := w.named(text(w.body, "EntityLogicalName"))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(t.Failed, func(k *entity.Key) bool {
		return strings.ToLower(k.SchemaName) == text(w.body, "EntityKeyLogicalName") && (k.Status == "" || k.Status == keyindex.Failed)
	})
	if i < 0 {
		return invalid("The entity %s has no failed key %s.", t.LogicalName, text(w.body, "EntityKeyLogicalName"))
	}
	t = w.own(t)
	k := *t.Failed[i]
	k.Status = keyindex.Pending
	t.Failed[i] = &k
	w.build(t, &k)
	return nil
}

// build has the index of the key built once the key is in force.
func (w *work) build(t *entity.Table, k *entity.Key) {
	w.after = append(w.after, func() error { return keyindex.Build(w.Call, keyindex.Reshape(w.reshape), t.LogicalName, k.SchemaName) })
}

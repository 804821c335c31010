package describe

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// Kinds of deleted metadata, the values of DeletedMetadataFilters
// (protocols/dataverse.md §3.5).
const (
	goneEntity = 1 << iota
	goneAttribute
	goneRelationship
	goneLabel
	goneOptionSet
	goneAll = 1<<iota - 1
)

// History tells which definitions changed when, for RetrieveMetadataChanges
// (protocols/dataverse.md §3.5). It begins with the process: stamps from
// before that have expired. Its methods may be called concurrently.
type History struct {
	mu      sync.Mutex
	first   uint64
	version uint64
	changed map[allod.GUID]uint64 // since the beginning, by MetadataId
	gone    []gone
}

type gone struct {
	id      allod.GUID
	kind    int
	version uint64
}

// NewHistory makes an empty history that begins at the moment; of two, the
// later one gives out the higher versions unless the schema changed more than
// once a second.
func NewHistory(at time.Time) *History {
	first := uint64(max(at.Unix(), 1))
	return &History{first: first, version: first, changed: map[allod.GUID]uint64{}}
}

// item is a definition with its kind; 0 is a kind that DeletedMetadata does
// not list.
type item struct {
	kind int
	id   allod.GUID
	text []byte
	o    entity.Object
}

func newItem(kind int, o entity.Object) item {
	text, _ := o.Get("MetadataId")
	id, _ := allod.ParseGUID(fmt.Sprint(text)) // definitions that have no id are not tracked
	return item{kind, id, o.AppendJSON(nil), o}
}

// Note writes down what is different between two models.
func (h *History) Note(old, next *entity.Model) {
	var before, after []item
	pair := func(a, b []item) { before, after = append(before, a...), append(after, b...) }
	for _, t := range next.Tables {
		if o := old.Table(t.LogicalName); o != t {
			pair(tableItems(o), tableItems(t))
		}
	}
	for _, t := range old.Tables {
		if next.Table(t.LogicalName) == nil {
			pair(tableItems(t), nil)
		}
	}
	for _, r := range next.Relationships {
		if o := old.Relationship(r.SchemaName); o != r {
			pair(relationshipItems(o), relationshipItems(r))
		}
	}
	for _, r := range old.Relationships {
		if next.Relationship(r.SchemaName) == nil {
			pair(relationshipItems(r), nil)
		}
	}
	pair(globalItems(old), globalItems(next))
	h.note(before, after)
}

// Drop writes down that a table is gone.
func (h *History) Drop(t *entity.Table) { h.note(tableItems(t), nil) }

func (h *History) note(before, after []item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.version++
	was := make(map[allod.GUID]item, len(before))
	labels := map[allod.GUID]bool{}
	for _, x := range before {
		was[x.id] = x
		labelsOf(x.o, func(id allod.GUID) { labels[id] = true })
	}
	for _, x := range after {
		if old, ok := was[x.id]; !ok || !bytes.Equal(old.text, x.text) {
			h.changed[x.id] = h.version
		}
		delete(was, x.id)
		labelsOf(x.o, func(id allod.GUID) { delete(labels, id) })
	}
	for _, x := range before {
		if _, lost := was[x.id]; lost && x.kind != 0 && !x.id.IsZero() {
			delete(was, x.id)
			delete(h.changed, x.id)
			h.gone = append(h.gone, gone{x.id, x.kind, h.version})
		}
	}
	for _, x := range before {
		labelsOf(x.o, func(id allod.GUID) {
			if labels[id] {
				delete(labels, id)
				h.gone = append(h.gone, gone{id, goneLabel, h.version})
			}
		})
	}
}

func tableItems(t *entity.Table) []item {
	if t == nil || !t.Defined() {
		return nil
	}
	out := []item{newItem(goneEntity, Table(t))}
	for _, c := range t.Columns {
		if c.Hidden {
			continue
		}
		o := Column(c, t)
		if set, ok := Choices(c); ok {
			o = append(o, entity.Member{Name: "OptionSet", Value: set})
			if !c.OptionSet.Global {
				out = append(out, newItem(goneOptionSet, set))
			}
		}
		out = append(out, newItem(goneAttribute, o))
	}
	for _, k := range Keys(t) {
		out = append(out, newItem(0, k))
	}
	return out
}

func relationshipItems(r *entity.Relationship) []item {
	if r == nil {
		return nil
	}
	return []item{newItem(goneRelationship, Relationship(r))}
}

func globalItems(m *entity.Model) (out []item) {
	for _, c := range Globals(m) {
		if o, ok := Choices(c); ok {
			out = append(out, newItem(goneOptionSet, o))
		}
	}
	return out
}

// labelsOf finds the ids of the localised labels in a definition.
func labelsOf(o entity.Object, found func(allod.GUID)) {
	for _, m := range o {
		switch v := m.Value.(type) {
		case entity.Object:
			labelsOf(v, found)
		case []entity.Object:
			for _, x := range v {
				if m.Name == "LocalizedLabels" {
					text, _ := x.Get("MetadataId")
					if id, err := allod.ParseGUID(fmt.Sprint(text)); err == nil {
						found(id)
					}
					continue
				}
				labelsOf(x, found)
			}
		}
	}
}

// stamp is what a client sends to hear of later changes: version and moment.
func (h *History) stamp(now time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strconv.FormatUint(h.version, 10) + "!" + now.UTC().Format("01/02/2006 15:04:05")
}

// parseStamp reads a stamp; its moment may be a day alone. ok is false for
// what is none.
func parseStamp(text string) (version uint64, at time.Time, ok bool) {
	number, when, _ := strings.Cut(text, "!")
	version, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0, time.Time{}, false
	}
	for _, layout := range []string{"01/02/2006 15:04:05", "01/02/2006"} {
		if at, err = time.Parse(layout, when); err == nil {
			return version, at, true
		}
	}
	return 0, time.Time{}, false
}

// since returns whether an item changed after the version, and the ids that
// went after it, of the kinds in mask, by kind.
func (h *History) since(version uint64, mask int) (changed func(entity.Object) bool, went map[int][]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	later := map[string]bool{}
	for id, v := range h.changed {
		if v > version {
			later[id.String()] = true
		}
	}
	went = map[int][]string{}
	for _, g := range h.gone {
		if g.version > version && g.kind&mask != 0 {
			went[g.kind] = append(went[g.kind], g.id.String())
		}
	}
	return func(o entity.Object) bool {
		id, _ := o.Get("MetadataId")
		text, _ := id.(string)
		return later[text]
	}, went
}

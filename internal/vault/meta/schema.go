package meta

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"allod"
	"allod/internal/vault/rowcodec"
)

// StoredSchema is a schema as a pack keeps it (FORMAT.md §7).
type StoredSchema struct {
	Number  uint32        `json:"number"` // from 1, per environment
	Tables  []TableNumber `json:"tables"` // ascending by number; former tables included
	Earlier []SchemaEntry `json:"earlier"`
	Schema  allod.Schema  `json:"schema"` // without identity
}

// TableNumber binds a number to a table for ever.
type TableNumber struct {
	Number uint32 `json:"number"`
	ID     string `json:"id"` // MetadataId, hex; "" where the source has none
	Name   string `json:"name"`
}

// SchemaEntry says which log entry holds an earlier schema.
type SchemaEntry struct {
	Number uint32 `json:"number"`
	Entry  uint64 `json:"entry"`
}

// Schema is a stored schema, ready for use. It does not change, but for Entry
// when it is committed.
type Schema struct {
	StoredSchema
	Entry uint64          // log entry that holds it; 0 = not committed yet
	Names *rowcodec.Names // targets of lookups

	digest [sha256.Size]byte
	byName map[string]uint32       // tables of the schema → number
	tables map[uint32]*allod.Table // number → table of the schema
}

func newSchema(s StoredSchema, entry uint64) (*Schema, error) {
	i := &Schema{StoredSchema: s, Entry: entry, Names: rowcodec.NewNames(&s.Schema), byName: map[string]uint32{}, tables: map[uint32]*allod.Table{}}
	var err error
	if i.digest, err = digest(&s.Schema); err != nil {
		return nil, err
	}
	numbers := make(map[string]uint32, len(s.Tables))
	for _, t := range s.Tables {
		numbers[bindingOf(t.ID, t.Name)] = t.Number
	}
	for j := range i.StoredSchema.Schema.Tables {
		t := &i.StoredSchema.Schema.Tables[j]
		number := numbers[binding(t)]
		if number == 0 {
			return nil, allod.Errorf(allod.Corrupt, "read a schema: table %s has no number", t.Name)
		}
		i.byName[t.Name], i.tables[number] = number, t
	}
	return i, nil
}

// DecodeSchema reads schema number, which log entry n holds; Corrupt, naming
// the object, if it is not well formed or another one.
func DecodeSchema(b []byte, number uint32, n uint64, name string) (*Schema, error) {
	var stored StoredSchema
	if err := decode(b, &stored, name); err != nil {
		return nil, err
	}
	if stored.Number != number {
		return nil, allod.Errorf(allod.Corrupt, "%s: it holds schema %d, not %d", name, stored.Number, number)
	}
	s, err := newSchema(stored, n)
	if err != nil {
		return nil, allod.Errorf(allod.KindOf(err), "%s: %w", name, err)
	}
	return s, nil
}

// Encode returns the schema as a pack keeps it.
func (i *Schema) Encode() ([]byte, error) { return encode(&i.StoredSchema) }

// NumberOf returns the number of a table of the schema by logical name; 0 when
// the schema has none.
func (i *Schema) NumberOf(table string) uint32 { return i.byName[table] }

// TableOf returns the table of the schema with a number; nil when the schema has
// none, or no longer.
func (i *Schema) TableOf(number uint32) *allod.Table { return i.tables[number] }

// FormerNumber returns the number of a table that the schema no longer has, by
// its last logical name: the newest of that name; 0 when there was none.
func (i *Schema) FormerNumber(table string) uint32 {
	for _, t := range slices.Backward(i.Tables) {
		if t.Name == table {
			return t.Number
		}
	}
	return 0
}

// Is reports whether s has the content of the schema. The identity does not
// count: its highest row version changes with every capture.
func (i *Schema) Is(s *allod.Schema) (bool, error) {
	d, err := digest(s)
	return err == nil && i.digest == d, err
}

// binding is what a table number is bound to: the MetadataId, or the name where
// the source has none.
func binding(t *allod.Table) string { return bindingOf(idText(t.ID), t.Name) }

func bindingOf(id, name string) string {
	if id == "" {
		return "name " + name
	}
	return id
}

func idText(g allod.GUID) string {
	if g.IsZero() {
		return ""
	}
	return hex.EncodeToString(g[:])
}

func digest(s *allod.Schema) ([sha256.Size]byte, error) {
	c := *s
	c.Identity = allod.Identity{}
	b, err := json.Marshal(&c)
	if err != nil {
		return [sha256.Size]byte{}, allod.Errorf(allod.Internal, "encode a schema: %w", err)
	}
	return sha256.Sum256(b), nil
}

// Successor gives a new schema the next number and its tables theirs; a nil
// schema is that of an environment before the first.
func (i *Schema) Successor(s *allod.Schema) (*Schema, error) {
	next := StoredSchema{Number: 1, Schema: *s}
	next.Schema.Identity = allod.Identity{}
	highest := uint32(0)
	known := map[string]int{}
	if i != nil {
		next.Number = i.Number + 1
		next.Tables = slices.Clone(i.Tables)
		next.Earlier = append(slices.Clone(i.Earlier), SchemaEntry{i.Number, i.Entry})
		for j, t := range next.Tables {
			known[bindingOf(t.ID, t.Name)] = j
			highest = max(highest, t.Number)
		}
	}
	for j := range s.Tables {
		t := &s.Tables[j]
		if at, ok := known[binding(t)]; ok {
			next.Tables[at].Name = t.Name
			continue
		}
		highest++
		known[binding(t)] = len(next.Tables)
		next.Tables = append(next.Tables, TableNumber{Number: highest, ID: idText(t.ID), Name: t.Name})
	}
	return newSchema(next, 0)
}

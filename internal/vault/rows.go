package vault

import (
	"errors"

	"allod"
	"allod/internal/vault/keytree"
	"allod/internal/vault/pack"
	"allod/internal/vault/rowcodec"
	"allod/internal/vault/seal"
)

// opener opens rows of one environment and decodes them against a schema. It
// is used by one goroutine.
type opener struct {
	v     *Vault
	env   uint32
	view  *schemaInfo // how rows come out; nil = not decoded
	codec *seal.Codec
	index *keytree.Indexer
	maps  map[mapKey][]int
}

type mapKey struct{ schema, table uint32 }

func (v *Vault) opener(env uint32, view *schemaInfo) (*opener, error) {
	if err := v.needKeys("open rows"); err != nil {
		return nil, err
	}
	codec, err := seal.NewCodec()
	if err != nil {
		return nil, err
	}
	return &opener{v: v, env: env, view: view, codec: codec, index: keytree.NewIndexer(v.secrets.Index), maps: map[mapKey][]int{}}, nil
}

func (o *opener) close() { o.codec.Close() }

// withheld returns why a key is gone by an act on record, "" for other errors.
func withheld(err error) string {
	var a *keytree.AbsentError
	if errors.As(err, &a) {
		return a.Kind.String()
	}
	return ""
}

// open opens a stored row version. Its content is valid until the next open.
func (o *opener) open(e *pack.Entry) (seal.Row, seal.Meta, error) {
	meta, err := seal.ParseMeta(e.Meta[:])
	if err != nil {
		return seal.Row{}, meta, err
	}
	tree := o.v.trees[meta.Root]
	if tree == nil {
		return seal.Row{}, meta, allod.Errorf(allod.Corrupt, "open a row: it names root %d, which is not known", meta.Root)
	}
	tag := keytree.Tag(e.Key.Tag())
	seed, err := tree.Seed(o.index.Leaf(tag), e.Key.Generation())
	if err != nil {
		return seal.Row{}, meta, err
	}
	p := seal.Place{Vault: o.v.cfg.Pin.Vault, Environment: o.env, Table: e.Key.Table(), Tag: tag, Generation: e.Key.Generation(), Capture: e.Key.Capture(), Meta: meta}
	row, err := o.codec.Open(&p, seed, e.Sealed)
	if err != nil {
		return row, meta, err
	}
	identity := appendIdentity(nil, o.env, e.Key.Table(), row.Key, row.Pair)
	if o.index.Tag(identity) != tag {
		return seal.Row{}, meta, allod.Errorf(allod.Corrupt, "open a row: it stands under the tag of another record")
	}
	return row, meta, nil
}

// row opens and decodes a put.
func (o *opener) row(e *pack.Entry) (*allod.Row, error) {
	r, meta, err := o.open(e)
	if err != nil {
		return nil, err
	}
	return o.decode(&r, meta, e.Key.Table())
}

func (o *opener) decode(r *seal.Row, meta seal.Meta, table uint32) (*allod.Row, error) {
	from, err := o.v.schemaFor(o.env, meta.Schema, o.view)
	if err != nil {
		return nil, err
	}
	cells, err := rowcodec.Decode(r.Content, from.names)
	if err != nil {
		return nil, err
	}
	t := o.view.tables[table]
	if t == nil { // the table is gone from the view's schema
		if t = from.tables[table]; t == nil {
			return nil, allod.Errorf(allod.Corrupt, "decode a row: its schema has no such table")
		}
	} else if from != o.view {
		cells = o.project(cells, from, t, table)
	}
	return &allod.Row{Table: t.Name, Key: r.Key, Pair: r.Pair, Version: r.Version, Modified: r.Modified, Cells: cells}, nil
}

// project puts cells of an older schema in the order of the view's columns.
func (o *opener) project(cells []allod.Value, from *schemaInfo, t *allod.Table, table uint32) []allod.Value {
	k := mapKey{from.Number, table}
	m, ok := o.maps[k]
	if !ok {
		m = columnMap(from.tables[table], t)
		o.maps[k] = m
	}
	out := make([]allod.Value, len(t.Columns))
	for to, at := range m {
		if at >= 0 && at < len(cells) {
			out[to] = cells[at]
		}
	}
	return out
}

// columnMap returns for each column of "to" its position in "from", -1 if it is
// not there: the same name and, where both have one, the same MetadataId.
func columnMap(from, to *allod.Table) []int {
	m := make([]int, len(to.Columns))
	for i := range to.Columns {
		m[i] = -1
		if from == nil {
			continue
		}
		c := &to.Columns[i]
		if j := from.ColumnIndex(c.Name); j >= 0 && (from.Columns[j].ID == c.ID || from.Columns[j].ID.IsZero() || c.ID.IsZero()) {
			m[i] = j
		}
	}
	return m
}

// appendIdentity appends the record identity (FORMAT.md §4).
func appendIdentity(b []byte, env, table uint32, key allod.GUID, pair [2]allod.GUID) []byte {
	u32 := func(n uint32) { b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)) }
	u32(env)
	u32(table)
	if pair == [2]allod.GUID{} {
		b = append(b, 0, 16)
		return append(b, key[:]...)
	}
	b = append(b, 0, 4)
	u32(table) // the relationship number is that of its intersect table
	b = append(append(b, 0, 16), pair[0][:]...)
	return append(append(b, 0, 16), pair[1][:]...)
}

func refOf(table string, r *seal.Row) allod.RecordRef {
	if r.IsPair() {
		return allod.RecordRef{Table: table, Pair: r.Pair}
	}
	return allod.RecordRef{Table: table, Key: r.Key}
}

package content

import (
	"errors"

	"allod"
	"allod/internal/vault/escrow"
	"allod/internal/vault/keytree"
	"allod/internal/vault/meta"
	"allod/internal/vault/pack"
	"allod/internal/vault/rowcodec"
	"allod/internal/vault/seal"
)

// Opener opens rows of one environment and decodes them against a schema. It
// is used by one goroutine; Close frees it.
type Opener struct {
	r        *Reader
	env      uint32
	view     *meta.Schema // how rows come out; nil = not decoded
	codec    *seal.Codec
	index    *keytree.Indexer
	identity []byte
	maps     map[mapKey][]int
	hidden   map[owner]bool
}

// errHidden says that a record is to be erased: its key is still there.
var errHidden = errors.New("its erasure was asked for")

// Hide withholds a record, if it is of the opener's environment.
func (o *Opener) Hide(environment, table uint32, tag keytree.Tag) {
	if environment != o.env {
		return
	}
	if o.hidden == nil {
		o.hidden = map[owner]bool{}
	}
	o.hidden[owner{table, tag}] = true
}

// hides is NotFound, and Withheld, for a record that is hidden.
func (o *Opener) hides(table uint32, tag keytree.Tag) error {
	if o.hidden[owner{table, tag}] {
		return allod.Errorf(allod.NotFound, "open a record: %w", errHidden)
	}
	return nil
}

type mapKey struct{ schema, table uint32 }

// Opener returns an opener of an environment's rows, which come out with the
// columns of view; nil opens rows without decoding them.
func (r *Reader) Opener(env uint32, view *meta.Schema) (*Opener, error) {
	codec, err := seal.NewCodec()
	if err != nil {
		return nil, err
	}
	return &Opener{r: r, env: env, view: view, codec: codec, index: keytree.NewIndexer(r.index), maps: map[mapKey][]int{}}, nil
}

// Close frees what the opener holds.
func (o *Opener) Close() { o.codec.Close() }

// Withheld returns why a key is gone by an act on record, e.g. "erased", or
// "erasure requested" for a record that is hidden; "" for other errors and nil.
func Withheld(err error) string {
	if errors.Is(err, errHidden) {
		return "erasure requested"
	}
	if errors.Is(err, errEscrow) {
		return keytree.Restricted.String()
	}
	var a *keytree.AbsentError
	if errors.As(err, &a) {
		return a.Kind.String()
	}
	return ""
}

// Punctured reports whether a key was taken out of any root: where none was,
// every row opens.
func (o *Opener) Punctured() bool { return o.r.Punctured() }

// Tag returns the tag of a record of the environment.
func (o *Opener) Tag(table uint32, key allod.GUID, pair [2]allod.GUID) keytree.Tag {
	o.identity = keytree.AppendIdentity(o.identity[:0], o.env, table, key, pair)
	return o.index.Tag(o.identity)
}

// Leaf returns the leaf of a record from its tag.
func (o *Opener) Leaf(tag keytree.Tag) keytree.Leaf { return o.index.Leaf(tag) }

// Open opens a stored row version. Its content is valid until the next Open.
// Corrupt if it is not the record's; for a key that is gone see Withheld.
func (o *Opener) Open(e *pack.Entry) (seal.Row, seal.Meta, error) {
	m, err := seal.ParseMeta(e.Meta[:])
	if err != nil {
		return seal.Row{}, m, err
	}
	tree := o.r.tree(m.Root)
	if tree == nil {
		return seal.Row{}, m, allod.Errorf(allod.Corrupt, "open a row: it names root %d, which is not known", m.Root)
	}
	tag := keytree.Tag(e.Key.Tag())
	if err := o.hides(e.Key.Table(), tag); err != nil {
		return seal.Row{}, m, err
	}
	p := seal.Place{Vault: o.r.vault, Environment: o.env, Table: e.Key.Table(), Tag: tag, Generation: e.Key.Generation(), Capture: e.Key.Capture(), Meta: m}
	row, err := o.unseal(&p, tree, e.Sealed)
	if err != nil {
		return row, m, err
	}
	if o.Tag(e.Key.Table(), row.Key, row.Pair) != tag {
		return seal.Row{}, m, allod.Errorf(allod.Corrupt, "open a row: it stands under the tag of another record")
	}
	return row, m, nil
}

// unseal opens a row under the key that its place names.
func (o *Opener) unseal(p *seal.Place, tree *keytree.State, sealed []byte) (seal.Row, error) {
	if p.KeyKind == seal.KindEscrow {
		if l := o.r.lent; l != nil && l.Tag == p.Tag {
			return l.Keys.Row(o.codec, p, sealed)
		}
		return seal.Row{}, o.inEscrow(tree, p.Tag, sealed)
	}
	seed, err := tree.Seed(o.index.Leaf(p.Tag), p.Generation)
	if err != nil {
		return seal.Row{}, err
	}
	return o.codec.Open(p, seed, sealed)
}

// errEscrow says that a row is sealed for those who hold a container.
var errEscrow = errors.New("it is sealed to a container")

// inEscrow says why a row of key kind 1 is withheld; Corrupt if it is none.
func (o *Opener) inEscrow(tree *keytree.State, tag keytree.Tag, sealed []byte) error {
	if err := escrow.Check(sealed); err != nil {
		return err
	}
	if why := tree.Whole(o.index.Leaf(tag)); why != nil {
		return allod.Errorf(allod.NotFound, "open a row: %w", why)
	}
	return allod.Errorf(allod.NotFound, "open a row: %w", errEscrow)
}

// Row opens and decodes a put.
func (o *Opener) Row(e *pack.Entry) (*allod.Row, error) {
	r, m, err := o.Open(e)
	if err != nil {
		return nil, err
	}
	return o.Decode(&r, m, e.Key.Table())
}

// Decode decodes a put that Open opened. The table's columns are those of the
// view, or of the row's own schema where the view has no such table.
func (o *Opener) Decode(r *seal.Row, m seal.Meta, table uint32) (*allod.Row, error) {
	from, err := o.SchemaOf(m)
	if err != nil {
		return nil, err
	}
	cells, err := rowcodec.Decode(r.Content, from.Names)
	if err != nil {
		return nil, err
	}
	t := o.view.TableOf(table)
	if t == nil { // the table is gone from the view's schema
		if t = from.TableOf(table); t == nil {
			return nil, allod.Errorf(allod.Corrupt, "decode a row: its schema has no such table")
		}
	} else if from != o.view {
		cells = o.project(cells, from, t, table)
	}
	return &allod.Row{Table: t.Name, Key: r.Key, Pair: r.Pair, Version: r.Version, Modified: r.Modified, Cells: cells}, nil
}

// Own decodes a put that Open opened with the columns of its own schema, not
// those of the view: as it was stored.
func (o *Opener) Own(r *seal.Row, m seal.Meta, table uint32) (*allod.Row, *allod.Table, *meta.Schema, error) {
	from, err := o.SchemaOf(m)
	if err != nil {
		return nil, nil, nil, err
	}
	t := from.TableOf(table)
	if t == nil {
		return nil, nil, nil, allod.Errorf(allod.Corrupt, "decode a row: its schema has no such table")
	}
	cells, err := rowcodec.Decode(r.Content, from.Names)
	if err != nil {
		return nil, nil, nil, err
	}
	return &allod.Row{Table: t.Name, Key: r.Key, Pair: r.Pair, Version: r.Version, Modified: r.Modified, Cells: cells}, t, from, nil
}

// SchemaOf returns the schema that a row version names.
func (o *Opener) SchemaOf(m seal.Meta) (*meta.Schema, error) {
	return o.r.earlier(o.env, m.Schema, o.view)
}

// project puts cells of an older schema in the order of the view's columns.
func (o *Opener) project(cells []allod.Value, from *meta.Schema, t *allod.Table, table uint32) []allod.Value {
	k := mapKey{from.Number, table}
	m, ok := o.maps[k]
	if !ok {
		m = columnMap(from.TableOf(table), t)
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

// RefOf names the record of an opened row.
func RefOf(table string, r *seal.Row) allod.RecordRef {
	if r.IsPair() {
		return allod.RecordRef{Table: table, Pair: r.Pair}
	}
	return allod.RecordRef{Table: table, Key: r.Key}
}

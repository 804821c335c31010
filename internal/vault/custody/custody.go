package custody

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"slices"

	"filippo.io/age"

	"allod"
	"allod/internal/vault/escrow"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/puncture"
	"allod/internal/vault/seal"
	"allod/internal/vault/stage"
)

// Desk is what an act of custody works with: the secrets and the trees of the
// epoch in force.
type Desk struct {
	*Finder
	Vault   allod.GUID
	Reader  *content.Reader
	To      stage.Place // of what is sealed anew
	Secrets keyring.Secrets
	Trees   []*keytree.State // of all roots, ascending
}

// Tree is the tree of new rows.
func (d *Desk) Tree() *keytree.State { return d.Trees[len(d.Trees)-1] }

// deposit seals what the tree derives of a record to each of the containers,
// and has every place read back what it was given. Nothing is punctured yet, and
// nothing may be after an error: what was written is swept away later. Conflict
// for a record whose key is gone already; Denied without the key of use erase.
func (d *Desk) deposit(ctx context.Context, t escrow.Tag, to []escrow.Container, run allod.GUID) error {
	signer, err := d.Secrets.Signer(keyring.SignErase)
	if err != nil {
		return err
	}
	leaf := keytree.NewIndexer(d.Index).Leaf(t.Tag)
	if why := d.Tree().Whole(leaf); why != nil {
		return allod.Errorf(allod.Conflict, "put a record into escrow: its key is gone: %s", why.Kind)
	}
	var roots []escrow.Root
	for _, tree := range d.Trees {
		kept, err := tree.Keep(leaf)
		if content.Withheld(err) != "" { // an earlier root, from which all of it was sealed anew
			continue
		}
		if err != nil {
			return object.Named("put a record into escrow", err)
		}
		roots = append(roots, escrow.Root{Number: tree.Root(), Kept: kept})
	}
	keys, err := escrow.NewKeys(roots)
	if err != nil {
		return err
	}
	defer keys.Wipe()
	for _, c := range to {
		r := escrow.Record{Vault: d.Vault, Container: c.ID, Environment: t.Environment, Table: t.Table, Tag: t.Tag, Run: run, Epoch: d.Tree().Epoch()}
		b, err := escrow.Seal(r, keys, c.Recipient, signer)
		if err != nil {
			return err
		}
		if err := escrow.Write(ctx, d.Places, r, b, d.Pin); err != nil {
			return err
		}
	}
	return nil
}

// Hold deposits a record for the holds that name it, if there are any, and says
// whether there are. The run has 32 hex digits: Invalid otherwise.
func (d *Desk) Hold(ctx context.Context, t escrow.Tag, holds func(escrow.Tag) []escrow.Container, run string) (bool, error) {
	if holds == nil {
		return false, nil
	}
	to := holds(t)
	if len(to) == 0 {
		return false, nil
	}
	var id allod.GUID
	if n, err := hex.Decode(id[:], []byte(run[:min(len(run), 32)])); err != nil || n != len(id) || len(run) != 32 {
		return false, allod.Errorf(allod.Invalid, "put a record into escrow: the id of the act has not 32 hex digits")
	}
	return true, d.deposit(ctx, t, to, id)
}

// Lifted is what an order to lift records needs: see Open.
type Lifted struct {
	Back        []puncture.Back
	Objects     []vlog.Object
	Environment uint32
	Capture     uint64 // of the environment: rows of later ones are not among the objects
	Rows        int    // sealed anew

	keys []*escrow.Keys // that Back holds
}

// Wipe overwrites the keys, once the order is carried out or given up.
func (l *Lifted) Wipe() {
	for _, k := range l.keys {
		k.Wipe()
	}
}

// errMoved says that an environment was captured meanwhile.
var errMoved = errors.New("the environment was captured meanwhile")

// Moved reports whether a lifting has to begin anew because a capture came
// between.
func Moved(err error) bool { return errors.Is(err, errMoved) }

// draft refuses an entry when the environment was captured since Open: its rows
// would stay in escrow. check is asked next, unless it is nil.
func (l *Lifted) draft(d *Desk, check func(context.Context) error) func(context.Context, *vlog.Entry) error {
	return func(ctx context.Context, _ *vlog.Entry) error {
		if d.Log.Chain().Capture[l.Environment] != l.Capture {
			return errMoved
		}
		if check == nil {
			return nil
		}
		return check(ctx)
	}
}

// Open opens the escrow of records of one environment with the private half of
// their container, and seals what was captured of them meanwhile anew under the
// tree that they are put back into. What it returns is not committed; Wipe it. NotFound
// where an escrow object is missing, Denied for the key of another container,
// Conflict for a record that is not restricted or held.
func (d *Desk) Open(ctx context.Context, container allod.GUID, id age.Identity, tags []escrow.Tag) (*Lifted, error) {
	tags = slices.Clone(tags)
	slices.SortFunc(tags, func(a, b escrow.Tag) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), bytes.Compare(a.Tag[:], b.Tag[:]))
	})
	if len(tags) == 0 || slices.ContainsFunc(tags, func(t escrow.Tag) bool { return t.Environment != tags[0].Environment }) {
		return nil, allod.Errorf(allod.Invalid, "lift records: they must be of one environment")
	}
	l := &Lifted{Environment: tags[0].Environment, Capture: d.Log.Chain().Capture[tags[0].Environment]}
	d.Forget()
	index := keytree.NewIndexer(d.Index)
	back := make([]puncture.Back, len(d.Trees))
	for i, tree := range d.Trees {
		back[i].Root = tree.Root()
	}
	for _, t := range tags {
		o, leaf, err := d.find(ctx, container, t)
		if err != nil {
			return nil, err
		}
		keys, err := o.Open(id)
		if err != nil {
			return nil, object.Named(o.Name(), err)
		}
		l.keys = append(l.keys, keys)
		for _, root := range keys.Roots {
			j := slices.IndexFunc(back, func(b puncture.Back) bool { return b.Root == root.Number })
			if j < 0 {
				return nil, unknown(root.Number)
			}
			back[j].Records = append(back[j].Records, keytree.Return{Leaf: leaf, Kept: root.Kept})
		}
	}
	l.Back = back
	last := len(back) - 1
	next, err := d.Tree().PutBack(back[last].Records)
	for i := 0; i < len(tags) && err == nil; i++ { // a root that was begun meanwhile has the others still
		next, err = next.Admit(index.Leaf(tags[i].Tag))
	}
	if err != nil {
		return nil, err
	}
	return l, d.reseal(ctx, l, next, tags)
}

// Lend opens the escrow of one record with the private half of its container,
// for reading alone: the Reader shows the record as if it had been lifted, and
// nothing is written. Close it. Errors as Open.
func (d *Desk) Lend(ctx context.Context, container allod.GUID, id age.Identity, t escrow.Tag) (*content.Reader, error) {
	d.Forget()
	o, leaf, err := d.find(ctx, container, t)
	if err != nil {
		return nil, err
	}
	keys, err := o.Open(id)
	if err != nil {
		return nil, object.Named(o.Name(), err)
	}
	l := &content.Loan{Tag: t.Tag, Keys: keys, From: d.Trees, Trees: slices.Clone(d.Trees)}
	for _, root := range keys.Roots {
		i := slices.IndexFunc(l.From, func(tree *keytree.State) bool { return tree.Root() == root.Number })
		if i < 0 {
			return nil, unknown(root.Number)
		}
		if l.Trees[i], err = l.From[i].PutBack([]keytree.Return{{Leaf: leaf, Kept: root.Kept}}); err != nil {
			return nil, err
		}
	}
	return d.Reader.Lend(l), nil
}

func unknown(root uint64) error {
	return allod.Errorf(allod.Corrupt, "lift a record: its escrow names root %d, which is not known", root)
}

// find returns the escrow object of a record in a container, and its leaf.
// Conflict for a record that is not restricted or held.
func (d *Desk) find(ctx context.Context, container allod.GUID, t escrow.Tag) (*escrow.Object, keytree.Leaf, error) {
	leaf := keytree.NewIndexer(d.Index).Leaf(t.Tag)
	if why := d.Tree().Whole(leaf); why == nil || why.Kind != keytree.Restricted && why.Kind != keytree.Held {
		return nil, leaf, allod.Errorf(allod.Conflict, "open a record in escrow: it is not restricted or held")
	}
	o, err := d.In(ctx, d.Tree(), container, t.Tag)
	return o, leaf, err
}

// reseal seals rows of key kind 1 under the tree.
func (d *Desk) reseal(ctx context.Context, l *Lifted, next *keytree.State, tags []escrow.Tag) error {
	packs, err := stage.NewPacks(d.To, stage.Capture{Environment: l.Environment, Tree: next, Index: d.Index})
	if err != nil {
		return err
	}
	defer packs.Close()
	codec, err := seal.NewCodec()
	if err != nil {
		return err
	}
	defer codec.Close()
	index := keytree.NewIndexer(d.Index)
	past := d.Reader.Past(l.Environment, l.Capture)
	for i, t := range tags {
		generation, seed, err := next.Current(index.Leaf(t.Tag))
		if err != nil {
			return object.Named("seal a lifted record anew", err)
		}
		var rows []*pack.Entry // that have none under the tree
		under := map[uint64]bool{}
		err = past.Versions(t.Table, t.Tag, func(e *pack.Entry) bool {
			if e.Meta[1] == seal.KindEscrow {
				rows = append(rows, &pack.Entry{Key: e.Key, Meta: e.Meta, Sealed: bytes.Clone(e.Sealed)})
			} else {
				under[e.Key.Capture()] = true
			}
			return true
		})
		if err != nil {
			return err
		}
		slices.SortFunc(rows, (*pack.Entry).Compare)
		for _, e := range rows {
			if under[e.Key.Capture()] {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			out, err := d.under(codec, l.Environment, e, l.keys[i], next.Root(), generation, seed)
			if err != nil {
				return object.Named("seal a lifted record anew", err)
			}
			if err := packs.Sealed(ctx, out); err != nil {
				return err
			}
			l.Rows++
		}
	}
	if packs.Open() {
		if err := packs.End(ctx, nil, nil); err != nil {
			return err
		}
	}
	l.Objects = packs.Done()
	return nil
}

// under opens a row of key kind 1 and seals it under a generation of the tree.
func (d *Desk) under(codec *seal.Codec, env uint32, e *pack.Entry, keys *escrow.Keys, root uint64, generation uint8, seed keytree.Seed) (*pack.Entry, error) {
	m, err := seal.ParseMeta(e.Meta[:])
	if err != nil {
		return nil, err
	}
	p := seal.Place{Vault: d.Vault, Environment: env, Table: e.Key.Table(), Tag: keytree.Tag(e.Key.Tag()), Generation: e.Key.Generation(), Capture: e.Key.Capture(), Meta: m}
	row, err := keys.Row(codec, &p, e.Sealed)
	if err != nil {
		return nil, err
	}
	identity := keytree.AppendIdentity(nil, env, p.Table, row.Key, row.Pair)
	if keytree.NewIndexer(d.Index).Tag(identity) != p.Tag {
		return nil, allod.Errorf(allod.Corrupt, "open a row: it stands under the tag of another record")
	}
	row.Content = bytes.Clone(row.Content) // it lies in what the codec writes to next
	var salt [keytree.SaltSize]byte
	if _, err := io.ReadFull(rand.Reader, salt[:]); err != nil {
		return nil, allod.Errorf(allod.Internal, "draw a salt: %w", err)
	}
	p.Generation, p.KeyKind, p.Root = generation, seal.KindTree, root
	out := &pack.Entry{Key: pack.MakeKey(p.Table, p.Tag, p.Capture, generation), Meta: [seal.MetaSize]byte(p.Meta.Append(nil))}
	out.Sealed, err = codec.Seal(nil, &p, seed, salt, &row)
	return out, err
}

// Restriction deposits records for a container and returns the order that
// punctures them.
func (d *Desk) Restriction(ctx context.Context, tags []escrow.Tag, to escrow.Container, run string, check func(context.Context) error) (puncture.Order, error) {
	o := puncture.Order{Kind: vlog.KindRestrict, Absent: keytree.Restricted, Run: run, Draft: asked(check)}
	if len(tags) == 0 {
		return o, allod.Errorf(allod.Invalid, "restrict: no record was named")
	}
	index := keytree.NewIndexer(d.Index)
	for _, t := range tags {
		if _, err := d.Hold(ctx, t, func(escrow.Tag) []escrow.Container { return []escrow.Container{to} }, run); err != nil {
			return o, object.Named("restrict a record", err)
		}
		o.Targets = append(o.Targets, keytree.Target{Leaf: index.Leaf(t.Tag), Generation: -1})
	}
	return o, nil
}

// asked is a Draft that asks check; nil for none.
func asked(check func(context.Context) error) func(context.Context, *vlog.Entry) error {
	if check == nil {
		return nil
	}
	return func(ctx context.Context, _ *vlog.Entry) error { return check(ctx) }
}

// Order is the order that puts back what was opened, and names what was sealed
// anew.
func (l *Lifted) Order(d *Desk, run string, check func(context.Context) error) puncture.Order {
	return puncture.Order{Kind: vlog.KindRestrict, Run: run, Back: l.Back, Environment: l.Environment, Objects: l.Objects, Draft: l.draft(d, check)}
}

// Spend returns the order that punctures records whatever holds there are: those
// of the office that were needed until an act was carried out.
func (d *Desk) Spend(tags []escrow.Tag, run string) puncture.Order {
	o := puncture.Order{Kind: vlog.KindErase, Absent: keytree.Erased, Run: run}
	index := keytree.NewIndexer(d.Index)
	for _, t := range tags {
		o.Targets = append(o.Targets, keytree.Target{Leaf: index.Leaf(t.Tag), Generation: -1})
	}
	return o
}

// Erasure deposits those of the records that holds name, and returns the order
// that punctures all of them, and what is spent.
func (d *Desk) Erasure(ctx context.Context, tags, spent []escrow.Tag, holds func(escrow.Tag) []escrow.Container, run string, check func(context.Context) error) (puncture.Order, error) {
	o := d.Spend(spent, run)
	o.Draft = asked(check)
	index := keytree.NewIndexer(d.Index)
	for _, t := range tags {
		target := keytree.Target{Leaf: index.Leaf(t.Tag), Generation: -1}
		held, err := d.Hold(ctx, t, holds, run)
		switch {
		case err != nil:
			return o, object.Named("erase a record under a hold", err)
		case held:
			o.Held = append(o.Held, target)
		default:
			o.Targets = append(o.Targets, target)
		}
	}
	return o, nil
}

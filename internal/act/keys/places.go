package keys

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"strconv"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/place"
	"allod/internal/govern/gate"
	"allod/internal/vault"
	"allod/internal/vault/keyring/places"
	"allod/internal/vault/office"
)

// Terms returns G and L in days: for how long slots are locked, and for how long
// after that the slowest place keeps what is deleted. A place that does not say
// how long counts as 0 days and is named by `allod check store`. Invalid if
// together they are longer than where GDPR applies.
func Terms(ctx context.Context, o *act.Office) (g, l int, err error) {
	b := open(o)
	locks := false
	for _, p := range b.vault.Slots().Places {
		d, ok := p.(blob.Describer)
		if !ok {
			continue
		}
		facts, err := d.Describe(ctx)
		if err != nil {
			return 0, 0, err
		}
		locks = locks || facts.Locks
		l = max(l, place.Judge(facts).LatencyDays)
	}
	s := o.Config().Keys
	if locks {
		g = places.DefaultLock
		if s.LockDays != nil {
			g = *s.LockDays
		}
	}
	return g, l, places.CheckLock(g, l, s.GDPR == nil || *s.GDPR)
}

// Counted is a place and how it stands to the epoch in force.
type Counted struct {
	places.Place
	State places.State `json:"state"`
}

// Places lists where keys of the vault lie or may lie: the places of slots as
// they answer now, the store, the processes that hold the key tree for longer
// than a command (see Holding), and those that people have named; by name. Pending
// are those that keep what was destroyed last from being final.
func Places(ctx context.Context, o *act.Office) (all []Counted, pending []places.Item, err error) {
	b := open(o)
	epoch, err := b.vault.Slots().Epoch(ctx)
	if err != nil {
		return nil, nil, err
	}
	list, err := b.places(ctx)
	now := b.deps.Now()
	for _, p := range list {
		all = append(all, Counted{p, p.StateOf(epoch, now)})
	}
	slices.SortFunc(all, func(a, b Counted) int { return cmp.Compare(a.Name, b.Name) })
	return all, places.Pending(epoch, list, now), err
}

// Pending lists, by name, the places that keep an erasure from being final whose
// puncture moved the key tree to the epoch.
func Pending(ctx context.Context, o *act.Office, epoch uint64) ([]places.Item, error) {
	b := open(o)
	list, err := b.places(ctx)
	return places.Pending(epoch, list, b.deps.Now()), err
}

func (b *bench) places(ctx context.Context) ([]places.Place, error) {
	c := b.office.Config()
	list := b.vault.Slots().Count(ctx)
	for i := range list {
		list[i].Note = c.Slots[i]
	}
	list = append(list, places.Place{Name: "store", Kind: places.Store, Note: c.Store})
	workers, err := b.workers(ctx)
	if err != nil {
		return nil, err
	}
	named, err := b.named(ctx)
	return append(append(list, workers...), named...), err
}

// Count counts a copy or an exported slot that people know of; it has the keys
// of the epoch in force. Conflict if the name is taken.
func Count(ctx context.Context, o *act.Office, p places.Place) error {
	b := open(o)
	if p.Kind != places.Copy && p.Kind != places.Exported {
		p.Kind = places.Kind(cmp.Or(string(p.Kind), "none"))
		return allod.WithHint(allod.Errorf(allod.Invalid, "count the place %s: kind %s is not counted by hand", p.Name, p.Kind), "Kinds are copy and exported; slots, stores and workers are counted by themselves.")
	}
	if err := p.Check(); err != nil {
		return err
	}
	all, _, err := Places(ctx, o)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(c Counted) bool { return c.Name == p.Name }) {
		return allod.WithHint(allod.Errorf(allod.Conflict, "count the place %s: there is one of this name", p.Name), "`allod vault places list` shows them; a place that was destroyed keeps its name.")
	}
	if p.Epoch, err = b.vault.Slots().Epoch(ctx); err != nil {
		return err
	}
	p.Since = b.deps.Now().UTC().Truncate(time.Second)
	return b.write(ctx, "place-counted", p)
}

// Declare records that a person says that a place was destroyed, and how. The
// person and their words are records of the office; the ledger names nobody.
func Declare(ctx context.Context, o *act.Office, name, by, text string) error {
	b := open(o)
	if by == "" || len(by) > 200 || len(text) > 1000 {
		return allod.WithHint(allod.Errorf(allod.Invalid, "declare %s destroyed: somebody has to say so, with at most 1,000 bytes of how", name), "Name the person with --by.")
	}
	named, err := b.named(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(named, func(p places.Place) bool { return p.Name == name })
	if i < 0 {
		return allod.WithHint(allod.Errorf(allod.NotFound, "declare %s destroyed: no place of this name was counted by hand", name), "`allod vault places list` shows them; a place of slots is taken out of allod.yaml instead, and counted as a copy.")
	}
	p := named[i]
	if p.Destroyed != nil {
		return allod.Errorf(allod.Conflict, "declare %s destroyed: that was done already", name)
	}
	p.Destroyed = &places.Declaration{By: by, At: b.deps.Now().UTC().Truncate(time.Second), Text: text}
	return b.write(ctx, "place-destroyed", p)
}

// The table of the office that holds counted places, one row each. Cells are
// text: the office is read by this program alone.
const placeTable = "place"

func columns() []string {
	return []string{"name", "kind", "keys", "note", "since", "epoch", "destroyed_by", "destroyed_at", "destroyed_text"}
}

func table() allod.Table {
	t := allod.Table{Name: placeTable, ID: id("table"), Key: placeTable + "id", Class: allod.ClassData}
	for _, c := range columns() {
		t.Columns = append(t.Columns, allod.Column{Name: c, ID: id("column " + c), Type: allod.String})
	}
	return t
}

// id is the id of what is called so, the same in every vault.
func id(of string) (g allod.GUID) {
	sum := sha256.Sum256([]byte("allod office place " + of))
	copy(g[:], sum[:])
	return g
}

func row(p places.Place) allod.Row {
	d := places.Declaration{}
	if p.Destroyed != nil {
		d = *p.Destroyed
	}
	texts := []string{p.Name, string(p.Kind), strconv.FormatBool(p.Keys), p.Note, stamp(p.Since), strconv.FormatUint(p.Epoch, 10), d.By, stamp(d.At), d.Text}
	r := allod.Row{Table: placeTable, Key: id("row " + p.Name)}
	for _, text := range texts {
		r.Cells = append(r.Cells, allod.StringValue(text))
	}
	return r
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// parse reads a row; Corrupt if it makes no sense.
func parse(t *allod.Table, r *allod.Row) (places.Place, error) {
	var bad bool
	text := func(column string) string {
		i := t.ColumnIndex(column)
		if i < 0 {
			bad = true
			return ""
		}
		return r.Cell(i).Text()
	}
	at := func(column string) time.Time {
		s := text(column)
		if s == "" {
			return time.Time{}
		}
		at, err := time.Parse(time.RFC3339, s)
		bad = bad || err != nil
		return at.UTC()
	}
	p := places.Place{Name: text("name"), Kind: places.Kind(text("kind")), Keys: text("keys") == "true", Note: text("note"), Since: at("since")}
	var err error
	p.Epoch, err = strconv.ParseUint(text("epoch"), 10, 64)
	if when := at("destroyed_at"); !when.IsZero() {
		p.Destroyed = &places.Declaration{By: text("destroyed_by"), At: when, Text: text("destroyed_text")}
	}
	if bad || err != nil || p.Check() != nil {
		return places.Place{}, allod.Errorf(allod.Corrupt, "read the places that are counted: one makes no sense")
	}
	return p, nil
}

// named reads the places that people have named, by name.
func (b *bench) named(ctx context.Context) ([]places.Place, error) {
	s, err := b.session(ctx, gate.ActionOffice, vault.Office)
	if err != nil {
		return nil, err
	}
	snap, err := office.Read(ctx, b.vault, s)
	if err != nil || snap == nil || snap.Schema() == nil {
		return nil, err
	}
	t := snap.Schema().Table(placeTable)
	if t == nil {
		return nil, nil
	}
	var out []places.Place
	for r, err := range snap.Rows(ctx, placeTable) {
		if err != nil {
			return nil, err
		}
		p, err := parse(t, &r)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b places.Place) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// write stores a place in the office, and puts on record that it did.
func (b *bench) write(ctx context.Context, word string, p places.Place) error {
	s, err := b.session(ctx, gate.ActionOffice, vault.Office)
	if err != nil {
		return err
	}
	seen, err := office.Read(ctx, b.vault, s)
	if err != nil {
		return err
	}
	if err := office.Write(ctx, b.vault, s, seen, []allod.Table{table()}, []allod.Row{row(p)}, b.deps.Now()); err != nil {
		return err
	}
	return b.gate.Act(ctx, s, word, map[string]int64{"places": 1})
}

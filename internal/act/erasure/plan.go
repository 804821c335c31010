// Package erasure has the use cases around destroying the keys of records: what
// an erasure would take with it and what it would leave, asking for it, taking
// it back, and carrying it out once nothing stands against it. Whether it may
// be carried out is decided by package rights and by two people; how keys are
// destroyed by package vault.
package erasure

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/ledger"
	"allod/internal/relate"
	"allod/internal/source"
	"allod/internal/vault"
)

// Request says what is to be erased, as typed.
type Request struct {
	Environment string
	Table       string
	IDs         []string
	Also        []string // TABLE:ID
	Related     []string // KIND:DEPTH; nil = what is attached, and notes
	Past        bool
	Urgent      bool
	Ground      string

	Progress func(Progress) // told now and then how far the plan is; nil = nobody is
}

// Planned is a record that would be erased.
type Planned struct {
	Table    string           `json:"table"`
	ID       string           `json:"id"`
	Versions int              `json:"versions"`       // stored and readable
	First    allod.SnapshotID `json:"first"`          // snapshots that stored the oldest and the newest
	Last     allod.SnapshotID `json:"last"`           //
	Live     bool             `json:"live"`           // it was in the source when the newest snapshot was taken
	Via      string           `json:"via"`            // how it was found: "" = named, else KIND and relationship
	Gone     string           `json:"gone,omitempty"` // why its key is gone already, e.g. "erased"
}

// Plan says what an erasure would do. Nothing has happened yet but that the plan
// was put on record.
type Plan struct {
	Environment string        `json:"environment"`
	Past        bool          `json:"past"`
	Urgent      bool          `json:"urgent"`
	Records     []Planned     `json:"records"` // by table, then id
	Kept        []rights.Kept `json:"kept"`    // where else the person is named
	Versions    int64         `json:"versions"`
	Due         time.Time     `json:"due"` // the earliest time, if it is asked for now and approved
	Places      []string      `json:"places"`
	Warnings    []string      `json:"warnings"`

	tags []vault.RecordTag
}

// desk is the office under the sessions that an erasure needs.
type desk struct {
	office *act.Office
	vault  *vault.Vault
	gate   *gate.Gate
	ledger *ledger.Ledger
	deps   act.Deps
}

func open(o *act.Office) *desk {
	v, g, l, deps := o.Inside()
	return &desk{o, v, g, l, deps}
}

func (d *desk) session(ctx context.Context, a gate.Action, env string) (gate.Session, error) {
	purpose := allod.PurposeAnswerRequest
	if a == gate.ActionOffice {
		purpose = allod.PurposeOperate
	}
	return d.gate.Open(ctx, gate.Request{
		Actor: d.deps.Actor, Action: a, Purpose: cmp.Or(d.deps.Purpose, purpose), Resource: gate.Resource{Environment: env, Class: allod.ClassContent},
	})
}

func (d *desk) now() time.Time { return d.deps.Now().UTC().Truncate(time.Second) }

// Make plans an erasure: it finds what belongs to the records named, counts
// their stored versions, and looks through every stored version of every table
// for what else names them. NotFound when a record was never stored, Invalid for
// what cannot be read as a record.
func Make(ctx context.Context, o *act.Office, r Request) (*Plan, error) {
	d := open(o)
	s, err := d.session(ctx, gate.ActionRead, r.Environment)
	if err != nil {
		return nil, err
	}
	snap, err := d.vault.At(ctx, s, r.Environment, 0)
	if err != nil {
		return nil, err
	}
	m := &maker{desk: d, session: s, snap: snap, request: r, plan: &Plan{Environment: r.Environment, Past: r.Past, Urgent: r.Urgent, Records: []Planned{}, Kept: []rights.Kept{}, Warnings: []string{}}}
	if err := m.run(ctx); err != nil {
		return nil, err
	}
	return m.plan, d.gate.Act(ctx, s, "planned-erasure", map[string]int64{"records": int64(len(m.plan.Records)), "versions": m.plan.Versions, "kept": int64(len(m.plan.Kept))})
}

// maker makes one plan.
type maker struct {
	*desk
	session gate.Session
	snap    *vault.Snapshot
	request Request
	plan    *Plan
	refs    []allod.RecordRef
	who     *names
}

func (m *maker) run(ctx context.Context) error {
	roots, err := m.roots()
	if err != nil {
		return err
	}
	via, err := m.closure(ctx, roots)
	if err != nil {
		return err
	}
	if len(m.refs) > rights.MaxRecords {
		return allod.WithHint(allod.Errorf(allod.Invalid, "plan an erasure: %d records are more than %d", len(m.refs), rights.MaxRecords), "Follow fewer relations, or erase in parts.")
	}
	m.who = newNames()
	for _, ref := range m.refs {
		if err := m.record(ctx, ref, via[ref], slices.Contains(roots, ref)); err != nil {
			return err
		}
	}
	kept, mine, err := m.kept(ctx)
	if err != nil {
		return err
	}
	m.plan.Kept = kept
	if len(m.refs)+len(mine) > rights.MaxRecords {
		return allod.Errorf(allod.Invalid, "plan an erasure: %d records are more than %d", len(m.refs)+len(mine), rights.MaxRecords)
	}
	for _, ref := range slices.SortedFunc(maps.Keys(mine), byName) {
		if err := m.record(ctx, ref, mine[ref], false); err != nil {
			return err
		}
		m.refs = append(m.refs, ref)
	}
	if m.plan.tags, err = m.vault.Tags(ctx, m.session, m.request.Environment, m.refs); err != nil {
		return err
	}
	if err := m.absent(); err != nil {
		return err
	}
	return m.facts(ctx)
}

// roots reads the records named.
func (m *maker) roots() ([]allod.RecordRef, error) {
	var out []allod.RecordRef
	add := func(table, id string) error {
		t, err := m.table(table)
		if err != nil {
			return err
		}
		key, err := allod.ParseGUID(id)
		if err != nil {
			return allod.WithHint(allod.Errorf(allod.Invalid, "erase a record of %s: %q is not an id", t.Name, id), "An id looks like 8f1c9a52-0d3e-4b6f-9a67-2c1d5e8b7a90; `allod ls %s %s` shows them.", m.request.Environment, t.Name)
		}
		out = append(out, allod.RecordRef{Table: t.Name, Key: key})
		return nil
	}
	for _, id := range m.request.IDs {
		if err := add(m.request.Table, id); err != nil {
			return nil, err
		}
	}
	for _, also := range m.request.Also {
		table, id, ok := strings.Cut(also, ":")
		if !ok {
			return nil, allod.Errorf(allod.Invalid, "erase %q as well: want TABLE:ID", also)
		}
		if err := add(table, id); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, allod.Errorf(allod.Invalid, "erase records of %s: no id was named", m.request.Table)
	}
	return out, nil
}

// table finds a table by its name or that of its entity set.
func (m *maker) table(name string) (*allod.Table, error) { return tableOf(m.snap, name) }

func tableOf(snap *vault.Snapshot, name string) (*allod.Table, error) {
	schema := snap.Schema()
	if schema != nil {
		for i := range schema.Tables {
			if t := &schema.Tables[i]; strings.EqualFold(t.Name, name) || strings.EqualFold(t.Set, name) {
				return t, nil
			}
		}
	}
	return nil, allod.WithHint(allod.Errorf(allod.NotFound, "find the table %q of %s: there is none", name, snap.Name()), "`allod schema %s` lists them.", snap.Meta().Environment)
}

// closure finds what belongs to the roots, each in the newest snapshot that has
// it: what was deleted long ago still has its notes of then.
func (m *maker) closure(ctx context.Context, roots []allod.RecordRef) (map[allod.RecordRef]string, error) {
	spec := relate.Spec{Follow: append(relate.Attached(), relate.Follow{Kind: relate.Notes, Depth: 1}), Limit: rights.MaxRecords + 1}
	if m.request.Related != nil {
		spec.Follow = nil
	}
	for _, text := range m.request.Related {
		f, err := relate.Parse(text)
		if err != nil {
			return nil, err
		}
		spec.Follow = append(spec.Follow, f)
	}
	at, err := m.alive(ctx, roots)
	if err != nil {
		return nil, err
	}
	via := map[allod.RecordRef]string{}
	for _, id := range slices.Sorted(maps.Keys(at)) {
		view, err := m.vault.At(ctx, m.session, m.request.Environment, id)
		if err != nil {
			return nil, err
		}
		g, err := relate.Closure(ctx, source.View(view), at[id], spec)
		if err != nil {
			return nil, err
		}
		if g.Cut {
			m.warn("more than %d records belong to these: the rest is not in this plan", g.Limit)
		}
		for _, member := range g.Members {
			if _, known := via[member.Record]; known {
				continue
			}
			how := ""
			if member.Depth > 0 {
				how = strings.TrimSpace(string(member.Kind) + " " + member.Via)
			}
			via[member.Record] = how
		}
	}
	for _, r := range roots {
		via[r] = ""
	}
	for r := range via {
		m.refs = append(m.refs, r)
	}
	slices.SortFunc(m.refs, byName)
	return via, nil
}

func byName(a, b allod.RecordRef) int { return strings.Compare(a.String(), b.String()) }

// alive groups records by the newest snapshot that shows them; NotFound for one
// that was never stored. One whose key is gone is left out.
func (m *maker) alive(ctx context.Context, roots []allod.RecordRef) (map[allod.SnapshotID][]allod.RecordRef, error) {
	all, err := m.vault.Snapshots(ctx, m.request.Environment)
	if err != nil {
		return nil, err
	}
	out := map[allod.SnapshotID][]allod.RecordRef{}
	for _, ref := range roots {
		h, err := m.vault.History(ctx, m.session, m.request.Environment, ref)
		if err != nil {
			return nil, err
		}
		if len(h) == 0 {
			return nil, allod.WithHint(allod.Errorf(allod.NotFound, "erase %s: no snapshot has it", ref), "`allod history %s %s ID` shows what is stored of a record.", m.request.Environment, ref.Table)
		}
		i := slices.IndexFunc(h, func(v vault.Version) bool { return v.Row != nil })
		if i < 0 {
			continue
		}
		id := all[len(all)-1].ID
		if i > 0 { // the last snapshot before the version that took it away
			for _, s := range all {
				if s.Capture < h[i-1].Capture {
					id = s.ID
				}
			}
		}
		out[id] = append(out[id], ref)
	}
	return out, nil
}

// record adds a record to the plan and to the names that are looked for.
func (m *maker) record(ctx context.Context, ref allod.RecordRef, via string, root bool) error {
	h, err := m.vault.History(ctx, m.session, m.request.Environment, ref)
	if err != nil {
		return err
	}
	p := Planned{Table: ref.Table, ID: ref.Key.String(), Via: via}
	if ref.IsPair() {
		p.ID = ref.Pair[0].String() + "," + ref.Pair[1].String()
	}
	for i, v := range h {
		if v.Withheld != "" {
			continue
		}
		if p.Versions == 0 {
			p.Last, p.Live = v.Snapshot, i == 0 && !v.Deleted
		}
		p.First = v.Snapshot
		p.Versions++
		if v.Row != nil && root { // what belongs to it may name others
			m.who.learn(v.Table, v.Row)
		}
	}
	m.who.record(ref)
	m.plan.Versions += int64(p.Versions)
	m.plan.Records = append(m.plan.Records, p)
	return nil
}

// absent marks records whose key is gone already.
func (m *maker) absent() error {
	why, err := m.vault.Absences(m.plan.tags)
	if err != nil {
		return err
	}
	for i := range why {
		m.plan.Records[i].Gone = why[i]
	}
	return nil
}

// facts adds what people should know before they ask.
func (m *maker) facts(ctx context.Context) error {
	m.plan.Due = m.now().Add(rights.Wait)
	if m.request.Urgent {
		m.plan.Due = m.now()
	}
	m.plan.Places = slices.Clone(m.office.Config().Slots)
	live, gone := 0, 0
	for _, r := range m.plan.Records {
		if r.Live {
			live++
		}
		if r.Gone != "" {
			gone++
		}
	}
	if gone > 0 {
		m.warn("%d of the records are gone already", gone)
	}
	if live > 0 && !m.request.Past {
		m.warn("%d of the records were in %s at the last backup: delete them there too, or the next backup ends with the gap %s", live, m.request.Environment, allod.GapErasedReturned)
	}
	if live > 0 && m.request.Past {
		m.warn("%d of the records were in %s at the last backup: what it holds of them stays, all before it goes", live, m.request.Environment)
	}
	for _, short := range m.who.skipped {
		m.warn("values of %s are too short to be looked for", short)
	}
	if m.who.files > 0 {
		m.warn("%d files of other records are not looked into", m.who.files)
	}
	return ctx.Err()
}

func (m *maker) warn(format string, args ...any) {
	m.plan.Warnings = append(m.plan.Warnings, fmt.Sprintf(format, args...))
}

// forgetPlans removes the plans of restores that name one of the records: they
// lie outside the vault, in the folder of this Allod.
func (d *desk) forgetPlans(ctx context.Context, records []Planned) error {
	dir := filepath.Join(d.office.Dir, "plans")
	files, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("look through the plans: %w", err)}
	}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(dir, f.Name())
		b, err := os.ReadFile(path)
		if err != nil {
			return &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("look through the plan %s: %w", f.Name(), err)}
		}
		named := slices.ContainsFunc(records, func(r Planned) bool {
			first, _, _ := strings.Cut(r.ID, ",")
			return strings.Contains(string(b), first)
		})
		if !named {
			continue
		}
		if err := os.Remove(path); err != nil {
			return &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("remove the plan %s: %w", f.Name(), err)}
		}
	}
	return nil
}

package wire

import (
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/odata"
)

// Annotations says which annotations a client asked for
// (odata.include-annotations, §2.2).
type Annotations struct {
	All        bool // "*": error details and counts too
	Formatted  bool
	Navigation bool // associatednavigationproperty
	Logical    bool // lookuplogicalname
	Cookie     bool // fetchxmlpagingcookie
	More       bool // morerecords
	Total      bool // totalrecordcount, totalrecordcountlimitexceeded
}

// Any reports whether values carry annotations at all.
func (a Annotations) Any() bool { return a.Formatted || a.Navigation || a.Logical }

// Plan is how the rows of one table are written for one request. It may be
// used by one goroutine at a time.
type Plan struct {
	schema *Schema
	table  *entity.Table
	notes  Annotations
	cols   []planned
	names  []string // table names by number in packed lookups
	tagged bool     // rows have an etag: the table has versionnumber
}

type planned struct {
	col      *entity.Column
	store    int // column in the store; -1 = not kept there
	kind     plannedKind
	hidden   bool
	member   []byte // "name":
	formal   []byte // "name@…FormattedValue":
	logical  []byte
	navNote  []byte
	decimals int
}

type plannedKind uint8

const (
	plainCell plannedKind = iota
	keyCell
	versionCell
	fileCell
	fileNameCell
	computedCell
)

// NewPlan prepares writing the named columns (logical or property names as in
// $select; nil = all that a query without $select returns) of the table.
// hidden tells secured columns the caller may not read: they are null (§3.3).
// An unknown name is the 400 of §2.3.
func NewPlan(tx *store.Tx, schema *Schema, t *entity.Table, columns []string, notes Annotations, hidden func(*entity.Column) bool) (*Plan, error) {
	p := &Plan{schema: schema, table: t, notes: notes, names: tx.Store().TableNames(), tagged: Versioned(t)}
	chosen, err := choose(t, columns)
	if err != nil {
		return nil, err
	}
	for _, c := range chosen {
		p.cols = append(p.cols, p.column(tx, c, hidden != nil && hidden(c)))
	}
	slices.SortStableFunc(p.cols, func(a, b planned) int { return a.store - b.store })
	return p, nil
}

// Versioned reports whether rows of the table show a version: an etag is that
// of the column versionnumber (§2.4), and duplicaterecords, which lack it, have
// none in the documentation.
func Versioned(t *entity.Table) bool { return t.Column("versionnumber") != nil }

func choose(t *entity.Table, columns []string) ([]*entity.Column, error) {
	var out []*entity.Column
	if columns == nil {
		for _, c := range t.Columns {
			if Selectable(c) && c.Kind != "Image" {
				out = append(out, c)
			}
		}
		return out, nil
	}
	seen := map[*entity.Column]bool{}
	add := func(c *entity.Column) {
		if c != nil && Selectable(c) && !seen[c] {
			seen[c] = true
			out = append(out, c)
		}
	}
	for _, name := range columns {
		c := t.Column(name)
		if c == nil || !Selectable(c) || c.Property() != name {
			return nil, NoProperty(name, t.LogicalName)
		}
		add(c)
		if c.Kind == "Money" {
			add(t.Column("transactioncurrencyid"))
		}
	}
	// systemuser and team have their key twice: ownerid is that of $metadata
	// (§3.1), and comes along as well.
	add(t.Column(t.PrimaryID))
	if c := t.Column(t.ODataKey); c != nil && c.Property() == t.ODataKey {
		add(c)
	}
	if t.LogicalName == "audit" { // these come unasked (§10.1)
		add(t.Column("attributemask"))
		add(t.Column("transactionid"))
	}
	return out, nil
}

func (p *Plan) column(tx *store.Tx, c *entity.Column, hidden bool) planned {
	out := planned{col: c, store: tx.Column(p.table.LogicalName, c.LogicalName), hidden: hidden || !c.ValidForRead}
	out.rename(c.Property())
	out.decimals = c.Precision
	switch {
	case c.LogicalName == p.table.PrimaryID || c.LogicalName == p.table.ODataKey:
		out.kind, out.hidden = keyCell, false
	case c.LogicalName == "versionnumber":
		out.kind = versionCell
	case c.Kind == "File":
		out.kind = fileCell
	case p.schema.formulas[c] != nil:
		out.kind = computedCell
	case fileOf(p.table, c) != nil:
		out.kind = fileNameCell
		out.store = tx.Column(p.table.LogicalName, fileOf(p.table, c).LogicalName)
	}
	return out
}

// rename sets the name under which the column is written.
func (c *planned) rename(name string) {
	c.member = []byte(`"` + name + `":`)
	c.formal = []byte(`"` + name + `@` + odata.FormattedValue + `":`)
	c.logical = []byte(`"` + name + `@` + odata.LookupLogicalName + `":`)
	c.navNote = []byte(`"` + name + `@` + odata.AssociatedNavigation + `":`)
}

// fileOf returns the file column whose name the column shows (§8.2).
func fileOf(t *entity.Table, c *entity.Column) *entity.Column {
	const suffix = "_name"
	n := len(c.LogicalName) - len(suffix)
	if n <= 0 || c.LogicalName[n:] != suffix {
		return nil
	}
	if f := t.Column(c.LogicalName[:n]); f != nil && f.Kind == "File" {
		return f
	}
	return nil
}

// AppendRow appends the members of one row without the closing brace, so that
// the caller can add expanded rows. dst must end in "{" or in a member.
func (p *Plan) AppendRow(dst []byte, tx *store.Tx, r *store.Row) []byte {
	if !p.tagged {
		at := len(dst)
		if dst = p.appendColumns(dst, tx, r); dst[at-1] == '{' && len(dst) > at {
			dst = slices.Delete(dst, at, at+1) // the comma
		}
		return dst
	}
	return p.appendColumns(appendEtagMember(dst, r.Version), tx, r)
}

// appendColumns appends the columns, each with a comma before it.
func (p *Plan) appendColumns(dst []byte, tx *store.Tx, r *store.Row) []byte {
	cur := r.Cursor()
	var raw store.Raw
	have := cur.Next(&raw)
	for i := range p.cols {
		c := &p.cols[i]
		switch c.kind {
		case keyCell:
			dst = append(append(dst, ','), c.member...)
			dst = odata.AppendGUID(dst, r.Key)
			continue
		case versionCell:
			dst = p.appendVersion(dst, c, r.Version)
			continue
		case computedCell:
			dst = p.appendComputed(dst, tx, c, r)
			continue
		case plainCell, fileCell, fileNameCell:
		}
		for have && raw.Column < c.store {
			have = cur.Next(&raw)
		}
		if !have || raw.Column != c.store || c.hidden {
			dst = append(append(append(dst, ','), c.member...), "null"...)
			continue
		}
		dst = p.appendCell(dst, tx, c, &raw)
	}
	return dst
}

func appendEtagMember(dst []byte, version uint64) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, `"@odata.etag":"W/\"`...)
	dst = appendUint(dst, version)
	return append(dst, `\""`...)
}

func (p *Plan) appendVersion(dst []byte, c *planned, version uint64) []byte {
	if p.notes.Formatted {
		dst = append(append(dst, ','), c.formal...)
		dst = append(dst, '"')
		dst = appendGrouped(dst, itoa(version), 0)
		dst = append(dst, '"')
	}
	dst = append(append(dst, ','), c.member...)
	return appendUint(dst, version)
}

func (p *Plan) appendCell(dst []byte, tx *store.Tx, c *planned, raw *store.Raw) []byte {
	if p.notes.Any() {
		dst = p.appendNotes(dst, tx, c, raw)
	}
	dst = append(append(dst, ','), c.member...)
	switch raw.Type {
	case allod.Integer:
		return odata.AppendInt(dst, raw.Num)
	case allod.Boolean:
		if raw.Num != 0 {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case allod.ID, allod.Lookup:
		if c.kind == fileNameCell {
			if b := tx.Blob(raw.ID); b != nil {
				return odata.AppendString(dst, b.Name)
			}
			return append(dst, "null"...)
		}
		return odata.AppendGUID(dst, raw.ID)
	case allod.Decimal, allod.Double, allod.JSON:
		return append(dst, raw.Text...)
	default:
		if raw.Plain {
			dst = append(dst, '"')
			dst = append(dst, raw.Text...)
			return append(dst, '"')
		}
		return odata.AppendString(dst, raw.Text)
	}
}

func (p *Plan) appendNotes(dst []byte, tx *store.Tx, c *planned, raw *store.Raw) []byte {
	if raw.Type == allod.Lookup && IsLookup(c.col) {
		return p.appendLookupNotes(dst, tx, c, raw)
	}
	if !p.notes.Formatted || c.kind != plainCell && c.kind != computedCell {
		return dst
	}
	text, ok := format(c.col, raw)
	if !ok {
		return dst
	}
	dst = append(append(dst, ','), c.formal...)
	return odata.AppendString(dst, text)
}

func (p *Plan) appendLookupNotes(dst []byte, tx *store.Tx, c *planned, raw *store.Raw) []byte {
	target := p.names[raw.Table]
	if p.notes.Formatted {
		if name, ok := p.title(tx, target, raw.ID); ok {
			dst = append(append(dst, ','), c.formal...)
			dst = odata.AppendString(dst, name)
		}
	}
	if p.notes.Navigation {
		if nav := p.schema.NavOf(p.table.LogicalName, c.col.LogicalName, target); nav != "" && p.table.LogicalName != "audit" {
			dst = append(append(dst, ','), c.navNote...)
			dst = odata.AppendString(dst, nav)
		}
	}
	if p.notes.Logical {
		dst = append(append(dst, ','), c.logical...)
		dst = odata.AppendString(dst, target)
	}
	return dst
}

// title is the primary name of the row a lookup refers to.
func (p *Plan) title(tx *store.Tx, target string, id allod.GUID) (string, bool) {
	return Title(tx, p.schema, target, id)
}

// Title is the primary name of a row; false when it has none.
func Title(tx *store.Tx, s *Schema, table string, id allod.GUID) (string, bool) {
	t := s.Model.Table(table)
	if t == nil || t.PrimaryName == "" {
		return "", false
	}
	r := tx.Get(table, id)
	if r == nil {
		return "", false
	}
	v := tx.Value(table, r, t.PrimaryName)
	return v.Text(), v.Type() == allod.String
}

// Columns returns the list of properties as it stands in a context URL.
func (p *Plan) Columns() []string {
	out := make([]string, len(p.cols))
	for i := range p.cols {
		out[i] = p.cols[i].col.Property()
	}
	return out
}

// Width is how many columns a row has, for the cost model.
func (p *Plan) Width() int { return len(p.cols) }

// Package rows turns pages of the Dataverse Web API into rows: it knows what to
// ask for in $select and how to read what comes back. It does no I/O.
package rows

import (
	"strings"

	"allod"
	"allod/internal/odata"
)

// Native type names of columns whose bytes are kept beside the row.
const (
	NativeFile  = "File"
	NativeImage = "Image"
	// NativePackage is that of the exported package of a solution, which is no
	// column of the service: its cells are left absent here.
	NativePackage = "SolutionPackage"
)

// MaxSelect is the longest $select that is written into a URL, in bytes. URLs
// may have 32,768 (protocols/dataverse.md §4.7), but nextLink and deltaLink
// repeat it beside a paging cookie, escaped. A longer one is divided (package
// chunks), or left out, which means every column.
const MaxSelect = 20000

// Plan says which members of a row are wanted and what becomes of them. It is
// safe for concurrent use.
type Plan struct {
	table   string
	cells   int // cells of a row
	slots   int // cells and further values needed while a row is read
	fields  map[string]field
	targets []string // per slot: the only table a lookup can lead to, "" if there are several
	files   []filePlan

	key, modified int
	pair          [2]int
	names         []string // $select
}

type fieldKind uint8

const (
	kindValue fieldKind = iota
	kindTarget
	kindEtag
	kindContext
	kindID
	kindSkip
)

type field struct {
	kind fieldKind
	typ  allod.Type
	slot int
}

// filePlan says where the parts of a FileRef stand; -1 = nowhere.
type filePlan struct {
	cell, id, stamp, name, mime, size, is int
	body                                  bool // bytes without an id of their own: the row version is the id
}

// IsBody reports whether the column holds base64 text that is kept as a file:
// the body of a note or of an attachment (protocols/dataverse.md §8.1).
func IsBody(table, column string) bool {
	return table == "annotation" && column == "documentbody" || table == "activitymimeattachment" && column == "body"
}

// NewPlan makes the plan to read the given columns of a table; nil = every
// stored column. pair are the columns of an intersect table that hold the two
// ids, empty otherwise. An unknown column is Invalid.
func NewPlan(t *allod.Table, columns []string, pair [2]string) (*Plan, error) {
	p := &Plan{table: t.Name, fields: map[string]field{}, key: -1, modified: -1, pair: [2]int{-1, -1}}
	wanted := map[string]bool{}
	for _, c := range columns {
		i := t.ColumnIndex(c)
		if i < 0 {
			return nil, allod.Errorf(allod.Invalid, "read %s: no column %q", t.Name, c)
		}
		wanted[c] = true
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if (columns == nil || wanted[c.Name]) && c.Derived == "" && c.Unreadable == "" {
			p.cells = i + 1
		}
	}
	p.slots = p.cells
	p.targets = make([]string, p.cells)
	for i := range p.cells {
		c := &t.Columns[i]
		if (columns != nil && !wanted[c.Name]) || c.Derived != "" || c.Unreadable != "" {
			continue
		}
		p.add(t, i)
	}
	if t.Key != "" {
		p.key = p.member(t.Key, allod.ID)
		if t.Name == "systemuser" || t.Name == "team" {
			// CSDL names the key of principals ownerid (protocols/dataverse.md §3.1).
			if _, taken := p.fields["ownerid"]; !taken {
				p.fields["ownerid"] = field{kind: kindValue, typ: allod.ID, slot: p.key}
			}
		}
	}
	if t.Column("modifiedon") != nil {
		p.modified = p.member("modifiedon", allod.DateTime)
	}
	for n, name := range pair {
		if c := t.Column(name); c != nil && c.Type == allod.Lookup { // list members
			p.pair[n] = p.member(odata.LookupProperty(name), allod.Lookup)
		} else if name != "" {
			p.pair[n] = p.member(name, allod.ID)
		}
	}
	for i := range p.files {
		p.fileParts(t, &p.files[i])
	}
	p.fields[odata.ETag] = field{kind: kindEtag}
	p.fields[odata.Context] = field{kind: kindContext}
	p.fields["id"] = field{kind: kindID}
	return p, nil
}

// add plans the column at position i.
func (p *Plan) add(t *allod.Table, i int) {
	c := &t.Columns[i]
	switch {
	case c.Type == allod.Lookup:
		member := odata.LookupProperty(c.Name)
		p.names = append(p.names, member)
		p.fields[member] = field{kind: kindValue, typ: allod.Lookup, slot: i}
		p.fields[member+"@"+odata.LookupLogicalName] = field{kind: kindTarget, slot: i}
		p.targets[i] = soleTarget(c)
	case c.Native == NativePackage:
	case c.Type == allod.File && c.Native == NativeFile:
		p.names = append(p.names, c.Name)
		p.fields[c.Name] = field{kind: kindValue, typ: allod.ID, slot: i}
		p.files = append(p.files, filePlan{cell: i, id: i, stamp: -1, name: -1, mime: -1, size: -1, is: -1})
	case c.Type == allod.File:
		p.files = append(p.files, filePlan{cell: i, id: -1, stamp: -1, name: -1, mime: -1, size: -1, is: -1, body: c.Native != NativeImage})
	default:
		p.names = append(p.names, c.Name)
		p.fields[c.Name] = field{kind: kindValue, typ: c.Type, slot: i}
	}
}

// member returns the slot of a member, asking for it if nobody has yet.
func (p *Plan) member(name string, typ allod.Type) int {
	if f, ok := p.fields[name]; ok && f.kind == kindValue {
		return f.slot
	}
	slot := p.slots
	p.slots++
	p.names = append(p.names, name)
	p.fields[name] = field{kind: kindValue, typ: typ, slot: slot}
	return slot
}

func (p *Plan) fileParts(t *allod.Table, f *filePlan) {
	c := &t.Columns[f.cell]
	optional := func(name string, typ allod.Type) int {
		side := t.Column(name)
		if side == nil || side.Unreadable != "" {
			return -1
		}
		return p.member(name, typ)
	}
	switch {
	case f.body:
		f.name = optional("filename", allod.String)
		f.mime = optional("mimetype", allod.String)
		f.size = optional("filesize", allod.Integer)
		f.is = optional("isdocument", allod.Boolean)
	case c.Native == NativeImage:
		f.id = optional(c.Name+"id", allod.ID)
		f.stamp = optional(c.Name+"_timestamp", allod.Integer)
	default:
		f.name = optional(c.Name+"_name", allod.String)
	}
}

// soleTarget returns the one table a lookup can lead to, or "".
func soleTarget(c *allod.Column) string {
	if len(c.Bind) != 1 {
		return ""
	}
	for target := range c.Bind {
		return target
	}
	return ""
}

// Select returns the $select of the plan, "" when it would be too long for a
// URL: then every column comes.
func (p *Plan) Select() string {
	n := 0
	for _, m := range p.names {
		n += len(m) + 1
	}
	if n > MaxSelect {
		return ""
	}
	return strings.Join(p.names, ",")
}

// Cells is how many cells the rows of the plan have.
func (p *Plan) Cells() int { return p.cells }

package fill

import (
	"strings"

	"allod/internal/emulator/dataverse/entity"
)

// column is one column of a table and what to put into it.
type column struct {
	pos     int // in the store
	c       *entity.Column
	lookup  bool
	targets []*plan // of a lookup
	anchor  int     // a row where the column is never null
	unique  bool    // part of an alternate key
	sparse  bool    // left null in tables of very many rows
	derived bool    // set by special rules or twins only
}

// wide is how many columns rows of very large tables have at most.
const (
	wide  = 40
	large = 20000 // rows from which on tables are large
)

// prepare plans the columns of a table. Left out are the key, the row version,
// shadow columns and what $metadata does not show.
func (f *filler) prepare(p *plan) {
	t := p.t
	p.at = make(map[string]int, len(t.Columns))
	pos := f.s.Columns(t.LogicalName)
	unique := map[string]bool{}
	for _, k := range t.Keys {
		for _, c := range k.Columns {
			unique[c] = true
		}
	}
	fresh := max(p.count-len(p.base), 1)
	for _, c := range t.Columns {
		if c.EdmType == "" || !c.ValidOData || c.Hidden || c.LogicalName == t.PrimaryID || c.LogicalName == "versionnumber" {
			continue
		}
		x := column{pos: pos[c.LogicalName], c: c, unique: unique[c.LogicalName], derived: derived(t, c)}
		x.anchor = len(p.base) + int(hash(c.LogicalName)%uint64(fresh))
		switch c.Kind {
		case "Lookup", "Customer", "Owner":
			x.lookup = true
			for _, name := range f.targets(c) {
				x.targets = append(x.targets, f.plans[name])
			}
		}
		x.sparse = len(p.cols) >= wide && c.Required == "None"
		p.at[c.LogicalName] = len(p.cols)
		p.cols = append(p.cols, x)
	}
}

// derived reports columns whose value follows from others.
func derived(t *entity.Table, c *entity.Column) bool {
	name := c.LogicalName
	if c.AttributeOf != "" || c.Kind == "Status" || strings.HasSuffix(name, "_composite") || strings.HasSuffix(name, "_base") && c.Kind == "Money" {
		return true
	}
	switch name {
	case "createdon", "modifiedon", "createdby", "modifiedby", "createdonbehalfby", "modifiedonbehalfby", "ownerid", "owninguser", "owningteam",
		"owningbusinessunit", "exchangerate", "transactioncurrencyid", "entityimageid", "activitytypecode", "instancetypecode",
		"masterid", "merged", "fullname", "yomifullname":
		return true
	case "documentbody", "body", "filesize", "isdocument", "filename", "mimetype":
		return t.Column("filename") != nil && (t.Column("documentbody") != nil || t.Column("body") != nil)
	case "objecttypecode":
		o := t.Column("objectid")
		return o != nil && o.Kind == "Lookup"
	case "firstname", "lastname":
		return t.Column("fullname") != nil
	}
	for _, part := range []string{"_timestamp", "_url", "id"} {
		if base, ok := strings.CutSuffix(name, part); ok {
			if b := t.Column(base); b != nil && b.Kind == "Image" {
				return true
			}
		}
	}
	return false
}

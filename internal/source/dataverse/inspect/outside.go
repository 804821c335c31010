package inspect

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"allod"
	"allod/internal/source"
)

// Outside names what the environment points to and a backup of its rows does
// not hold, counted where it can be (design/capture.md, outside). What may not
// be read is not counted.
func Outside(ctx context.Context, f source.Finder, s Service, schema *allod.Schema) ([]source.Outside, error) {
	var out []source.Outside
	for _, p := range []struct{ table, what, of string }{
		{"sharepointdocumentlocation", "documents in SharePoint", "document locations"},
		{"mailbox", "mail and appointments in Exchange that nobody tracked", "mailboxes"},
		{"msdynmkt_journey", "interactions of Customer Insights - Journeys", "journeys"},
	} {
		t := schema.Table(p.table)
		if t == nil || t.Unreadable != "" {
			continue
		}
		n, err := f.Count(ctx, t)
		if closed(err) {
			n, err = -1, nil
		}
		if err != nil {
			return nil, err
		}
		if n != 0 {
			out = append(out, source.Outside{What: p.what, Table: p.table, Of: p.of, Count: n})
		}
	}
	if i := slices.IndexFunc(schema.Tables, func(t allod.Table) bool { return strings.HasPrefix(t.Name, "msdyn_dualwrite") }); i >= 0 {
		out = append(out, source.Outside{What: "Finance & Operations behind dual-write", Table: schema.Tables[i].Name, Count: -1})
	}
	retained, err := retained(ctx, f, s, schema)
	return append(out, retained...), err
}

// retained counts the rows in long-term retention of every table that a policy
// is for, also of those that are switched off now, and of every table that a run
// took rows of: what hangs on a retained row goes along, and no policy names it
// (protocols/dataverse.md §13.1). They can be read with FetchXML only; sums of
// them cannot be asked for.
func retained(ctx context.Context, f source.Finder, s Service, schema *allod.Schema) ([]source.Outside, error) {
	const what = "rows of %s in long-term retention"
	l := &looker{f: f, schema: schema, out: &source.Surroundings{}}
	var tables []string
	for _, from := range [][2]string{
		{"retentionconfig", "entitylogicalname"}, {"retentionoperation", "rootentitylogicalname"}, {"retentionoperationdetail", "entitylogicalname"},
	} {
		list, err := l.all(ctx, from[0], "", from[1])
		if err != nil {
			return nil, err
		}
		for _, x := range list {
			if name := x.cells[from[1]].Text(); schema.Table(name) != nil {
				tables = append(tables, name)
			}
		}
	}
	slices.Sort(tables)
	var out []source.Outside
	for _, name := range slices.Compact(tables) {
		var err error
		o := source.Outside{What: strings.Replace(what, "%s", name, 1), Table: name, Of: "rows"}
		if o.Count, o.More, err = countRetained(ctx, s, schema.Table(name)); err != nil {
			return nil, err
		}
		if o.Count != 0 {
			out = append(out, o)
		}
	}
	return out, nil
}

// countRetained reads one page of keys; -1 when the service does not say.
func countRetained(ctx context.Context, s Service, t *allod.Table) (n int64, more bool, err error) {
	const page = 5000
	if t.Set == "" || t.Key == "" {
		return -1, false, nil
	}
	var rows struct{ Value []struct{} }
	fetch := `<fetch datasource="retained" count="5000"><entity name="` + t.Name + `"><attribute name="` + t.Key + `" /></entity></fetch>`
	err = s.Get(ctx, t.Set+"?fetchXml="+strings.ReplaceAll(url.QueryEscape(fetch), "+", "%20"), &rows)
	if err != nil {
		return -1, false, reached(err)
	}
	return int64(len(rows.Value)), len(rows.Value) >= page, nil
}

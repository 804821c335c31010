package beside

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"allod"
	"allod/internal/odata"
	"allod/internal/source"
)

// perQuery is how many ids one query names, and perPage how many rows it may give.
const (
	perQuery = 50
	perPage  = 5000
)

// Binned implements source.Binner: only FetchXML reads the bin
// (protocols/dataverse.md §6.13).
func (b *Beside) Binned(ctx context.Context, t *allod.Table, column string, ids []allod.GUID) ([]source.Binned, error) {
	columns := []string{t.Key}
	for _, c := range []string{"versionnumber", "statecode", column} {
		if t.Column(c) != nil && !slices.Contains(columns, c) {
			columns = append(columns, c)
		}
	}
	var out []source.Binned
	for some := range slices.Chunk(ids, perQuery) {
		var x strings.Builder
		x.WriteString(`<fetch datasource="bin" count="5000"><entity name="` + t.Name + `">`)
		for _, c := range columns {
			x.WriteString(`<attribute name="` + c + `" />`)
		}
		x.WriteString(`<filter><condition attribute="` + column + `" operator="in">`)
		for _, id := range some {
			x.WriteString("<value>" + id.String() + "</value>")
		}
		x.WriteString(`</condition></filter></entity></fetch>`)
		var page struct{ Value []map[string]json.RawMessage }
		if err := b.s.Get(ctx, t.Set+"?fetchXml="+strings.ReplaceAll(url.QueryEscape(x.String()), "+", "%20"), &page); err != nil {
			return nil, err
		}
		if len(page.Value) >= perPage {
			return nil, allod.Errorf(allod.Invalid, "look into the recycle bin of table %s: more rows than one page holds", t.Name)
		}
		for _, row := range page.Value {
			one, err := binned(t, column, row)
			if err != nil {
				return nil, err
			}
			out = append(out, one)
		}
	}
	return out, nil
}

func binned(t *allod.Table, column string, row map[string]json.RawMessage) (source.Binned, error) {
	text := func(name string) string {
		var s string
		if json.Unmarshal(row[name], &s) != nil {
			return ""
		}
		return s
	}
	var out source.Binned
	var err error
	if out.Key, err = allod.ParseGUID(text(t.Key)); err != nil {
		return out, allod.Errorf(allod.Invalid, "look into the recycle bin of table %s: a row without a key", t.Name)
	}
	out.By = out.Key
	if column != t.Key {
		if out.By, err = allod.ParseGUID(text(odata.LookupProperty(column))); err != nil {
			return out, allod.Errorf(allod.Invalid, "look into the recycle bin of table %s: a row without %s", t.Name, column)
		}
	}
	// What a row does not say stays zero.
	_ = json.Unmarshal(row["statecode"], &out.State)
	if _ = json.Unmarshal(row["versionnumber"], &out.Version); out.Version == 0 {
		out.Version, _ = odata.ParseEtag(text(odata.ETag))
	}
	return out, nil
}

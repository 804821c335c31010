// Package sizes adds up how long the files of an environment are, by asking the
// service for sums (protocols/dataverse.md §4.5, §8).
package sizes

import (
	"context"
	"strings"
	"time"

	"allod"
	"allod/internal/source"
	"allod/internal/source/odataclient"
)

// maxAsked is how many sums are asked for at most for one table: a sum goes over
// 50,000 rows at most, so that larger tables are added up year by year or closer.
const maxAsked = 100

// kinds are the tables that tell lengths, in bytes.
var kinds = [...]struct{ table, size, group, filter string }{
	{"annotation", "filesize", "", "isdocument eq true"},
	{"activitymimeattachment", "filesize", "", ""},
	{"fileattachment", "filesizeinbytes", "objecttypecode", ""}, // the files of file columns, by their table
}

// Of returns the sizes by table. Images tell no length. What may not be read is
// left out; an error means that the service did not answer.
func Of(ctx context.Context, ask func(context.Context, string, string, any) error, escape func(string) string, now time.Time, schema *allod.Schema) (map[string]source.FileSize, error) {
	out := map[string]source.FileSize{}
	for _, k := range kinds {
		t := schema.Table(k.table)
		if t == nil || t.Unreadable != "" || t.Set == "" || t.Column(k.size) == nil || k.group != "" && t.Column(k.group) == nil {
			continue
		}
		a := adder{ask: ask, escape: escape, table: t, size: k.size, group: k.group, sum: map[string]source.FileSize{}}
		known, err := a.add(ctx, k.filter)
		if err == nil && !known && t.Column("createdon") != nil {
			a.sum = map[string]source.FileSize{}
			known, err = a.split(ctx, k.filter, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), now.UTC().Add(24*time.Hour).Truncate(time.Second))
		}
		if err != nil {
			return nil, err
		}
		if !known {
			continue
		}
		if k.group == "" {
			out[t.Name] = a.sum[""]
			continue
		}
		for name, s := range a.sum {
			out[name] = s
		}
		for i := range schema.Tables { // those with file columns that nobody has filled
			of := &schema.Tables[i]
			if _, some := out[of.Name]; !some && hasFileColumn(of) {
				out[of.Name] = source.FileSize{}
			}
		}
	}
	return out, nil
}

func hasFileColumn(t *allod.Table) bool {
	for i := range t.Columns {
		if t.Columns[i].Native == "File" {
			return true
		}
	}
	return false
}

// adder adds up one table.
type adder struct {
	ask    func(context.Context, string, string, any) error
	escape func(string) string
	table  *allod.Table
	size   string
	group  string
	sum    map[string]source.FileSize
	asked  int
}

// add adds the rows for which the filter holds; false when the service does not
// say, or there are too many for it.
func (a *adder) add(ctx context.Context, filter string) (bool, error) {
	if a.asked++; a.asked > maxAsked {
		return false, nil
	}
	apply := "aggregate($count as n," + a.size + " with sum as bytes)"
	if a.group != "" {
		apply = "groupby((" + a.group + ")," + apply + ")"
	}
	if filter != "" {
		apply = "filter(" + filter + ")/" + apply
	}
	var page struct{ Value []map[string]any }
	err := a.ask(ctx, a.table.Set+"?$apply="+a.escape(apply), a.table.Name, &page)
	if st := odataclient.AsStatus(err); st != nil && st.Status != 401 && st.Status < 500 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, row := range page.Value {
		n, ok := row["n"].(float64)
		bytes, isNumber := row["bytes"].(float64)
		if !ok || !isNumber && row["bytes"] != nil || n < 0 || bytes < 0 || n > 1e15 || bytes > 1e18 {
			return false, nil
		}
		name, _ := row[a.group].(string)
		s := a.sum[name]
		a.sum[name] = source.FileSize{Files: s.Files + int64(n), Bytes: s.Bytes + int64(bytes)}
	}
	return true, nil
}

// split adds up the rows made between two moments, in parts that the service
// can add up.
func (a *adder) split(ctx context.Context, filter string, from, to time.Time) (bool, error) {
	const layout = "2006-01-02T15:04:05Z"
	between := "createdon ge " + from.Format(layout) + " and createdon lt " + to.Format(layout)
	known, err := a.add(ctx, strings.TrimPrefix(filter+" and "+between, " and "))
	if known || err != nil || a.asked > maxAsked || to.Sub(from) < 2*time.Second {
		return known, err
	}
	middle := from.Add(to.Sub(from) / 2).Truncate(time.Second)
	if known, err = a.split(ctx, filter, from, middle); !known || err != nil {
		return known, err
	}
	return a.split(ctx, filter, middle, to)
}

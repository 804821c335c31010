package dataverse

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"allod"
	"allod/internal/odata"
	"allod/internal/source"
	"allod/internal/source/dataverse/chunks"
	"allod/internal/source/dataverse/codes"
	"allod/internal/source/dataverse/rows"
	"allod/internal/source/odataclient"
)

// maxURL is how long the address of a GET may be, of the 32,768 bytes that the
// service takes (protocols/dataverse.md §4.7).
const maxURL = 30000

// keysPerGet is how many keys one request asks for.
const keysPerGet = 200

// Get returns the rows that exist among keys, in any order; those that are
// gone or that the caller may not see are left out.
func (s *Source) Get(ctx context.Context, table *allod.Table, keys []allod.GUID, columns []string) ([]allod.Row, error) {
	if len(keys) == 1 {
		return s.getOne(ctx, table, keys[0], columns)
	}
	r, err := s.newReader(ctx, source.ReadRequest{Table: table, Columns: columns})
	if err != nil {
		return nil, err
	}
	if r.wide != nil {
		rows, err := r.wide.Get(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		return rows, nil
	}
	var out []allod.Row
	for some := range slices.Chunk(keys, keysPerGet) {
		for row, err := range s.Query(ctx, table, chunks.In(table.Key, some), columns) {
			if err != nil {
				return nil, err
			}
			out = append(out, row)
		}
	}
	return out, nil
}

func (s *Source) getOne(ctx context.Context, table *allod.Table, key allod.GUID, columns []string) ([]allod.Row, error) {
	r, err := s.newReader(ctx, source.ReadRequest{Table: table, Columns: columns})
	if err != nil {
		return nil, err
	}
	if r.wide != nil {
		return s.one(ctx, table, r.wide.Plan.Whole, key)
	}
	row, err := s.one(ctx, table, r.plan, key)
	if err != nil {
		return nil, err
	}
	return row, r.mark(ctx, row)
}

// one reads one row; none where the service says that there is none.
func (s *Source) one(ctx context.Context, table *allod.Table, plan *rows.Plan, key allod.GUID) ([]allod.Row, error) {
	var row allod.Row
	_, err := s.client.Do(ctx, &odataclient.Request{
		URL: rowURL(table, key) + query(plan, ""), Table: table.Name, Header: prefer(false, 0),
		Check: func(res *odataclient.Response) error {
			var err error
			row, err = plan.DecodeRow(res.Body)
			return err
		},
	})
	if allod.KindOf(err) == allod.NotFound && codes.RowGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []allod.Row{row}, nil
}

// rowURL is the address of one row, relative to the service root.
func rowURL(table *allod.Table, key allod.GUID) string { return table.Set + "(" + key.String() + ")" }

// Query yields the rows for which an OData $filter holds.
func (s *Source) Query(ctx context.Context, table *allod.Table, filter string, columns []string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		r, err := s.newReader(ctx, source.ReadRequest{Table: table, Columns: columns})
		if err != nil {
			yield(allod.Row{}, err)
			return
		}
		if filter != "" {
			r.at.Link = table.Set + query(r.plan, "$filter="+escapeQuery(filter))
		}
		if len(r.at.Link) > maxURL {
			r.at.Link = table.Set + "?$filter=" + escapeQuery(filter) // all columns
		}
		for {
			page, err := r.next(ctx)
			if err != nil {
				yield(allod.Row{}, err)
				return
			}
			for _, row := range page.Rows {
				if !yield(row, nil) {
					return
				}
			}
			if page.Last {
				return
			}
		}
	}
}

// escapeQuery escapes a query value; blanks become %20, which every OData
// service takes.
func escapeQuery(v string) string { return strings.ReplaceAll(url.QueryEscape(v), "+", "%20") }

// Count asks for the number of rows: the service's own figure, up to 24 hours
// old, or, where it keeps none, the count of the set if that is below its cap
// (protocols/dataverse.md §4.2). -1 when neither says.
func (s *Source) Count(ctx context.Context, table *allod.Table) (int64, error) {
	var out struct {
		EntityRecordCountCollection struct {
			Keys   []string
			Values []int64
		}
	}
	err := s.getJSON(ctx, "RetrieveTotalRecordCount(EntityNames=@p1)?@p1="+escapeQuery(`["`+table.Name+`"]`), table.Name, &out)
	c := out.EntityRecordCountCollection
	for i, name := range c.Keys {
		if err == nil && name == table.Name && i < len(c.Values) && c.Values[i] >= 0 {
			return c.Values[i], nil
		}
	}
	if st := odataclient.AsStatus(err); err != nil && (st == nil || st.Status >= 500 || st.Status == http.StatusUnauthorized) {
		return 0, err
	}
	if table.Set == "" {
		return -1, nil
	}
	const most = 5000
	res, err := s.client.Do(ctx, &odataclient.Request{URL: table.Set + "/$count", Table: table.Name, MaxBytes: 1 << 10, Header: http.Header{"Accept": {"text/plain"}}})
	if st := odataclient.AsStatus(err); st != nil && st.Status < 500 && st.Status != http.StatusUnauthorized {
		return -1, nil // the service does not say
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(res.Body, "\ufeff")), 10, 64)
	if err != nil || n < 0 || n >= most {
		return -1, nil // capped, or no number
	}
	return n, nil
}

// readAll reads a whole small table with the plan's columns.
func (s *Source) readAll(ctx context.Context, table *allod.Table, visit func(*rows.Plan, *allod.Row)) error {
	r, err := s.newReader(ctx, source.ReadRequest{Table: table})
	if err != nil {
		return err
	}
	for {
		page, err := r.next(ctx)
		if err != nil {
			return err
		}
		for i := range page.Rows {
			visit(r.plan, &page.Rows[i])
		}
		if page.Last {
			return nil
		}
	}
}

// lookupMember is the member under which a lookup column is filtered and read.
func lookupMember(column string) string { return odata.LookupProperty(column) }

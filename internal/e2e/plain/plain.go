// Package plain compares two Dataverse environments over HTTP with nothing but
// the standard library. It shares no code with the program whose restores it
// checks, so that a mistake of the program cannot agree with itself.
package plain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Result counts what was compared, and lists what differs.
type Result struct {
	Tables int64 // compared
	Rows   int64 // that both sides have
	Cells  int64 // compared, those of files among them
	Files  int64 // of these, files with content
	// Left counts the cells that were not compared, by reason.
	Left map[Reason]int64
	// Kept and Lost count rows of tables that take a date of creation: those
	// that have the same one on both sides, and the others.
	Kept, Lost int64
	// Differ lists differences without values, sorted.
	Differ []string

	began time.Time
}

func (r *Result) bad(format string, args ...any) {
	r.Differ = append(r.Differ, fmt.Sprintf(format, args...))
}

func (r *Result) add(one *Result) {
	r.Tables += one.Tables
	r.Rows += one.Rows
	r.Cells += one.Cells
	r.Files += one.Files
	r.Kept += one.Kept
	r.Lost += one.Lost
	r.Differ = append(r.Differ, one.Differ...)
	for why, n := range one.Left {
		r.Left[why] += n
	}
}

// Compare compares the tables that two environments serve; a and b are their
// addresses, e.g. http://127.0.0.1:8080. wanted is asked for each table that
// has an entity set; an error from it ends the comparison. Dates of creation
// are compared of rows made before began: what an environment makes for itself
// when it begins, such as its currency, is of its own day. What differs is in
// the result, not in the error.
func Compare(ctx context.Context, a, b string, began time.Time, wanted func(table string) (bool, error)) (*Result, error) {
	a, b = a+"/api/data/v9.2/", b+"/api/data/v9.2/"
	tables, err := describe(ctx, a)
	if err != nil {
		return nil, err
	}
	total := &Result{Left: map[Reason]int64{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	defer wg.Wait()
	var failed error
	slots := make(chan struct{}, 4)
	for _, t := range tables {
		// The rows of activitypointer are those of the activity tables.
		if ok, err := wanted(t.LogicalName); err != nil {
			return nil, err
		} else if !ok || t.LogicalName == "activitypointer" {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			one, err := compareTable(ctx, a, b, began, t)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = fmt.Errorf("table %s: %w", t.LogicalName, err)
				return
			}
			total.add(one)
		})
	}
	wg.Wait()
	slices.Sort(total.Differ)
	return total, failed
}

// describe lists the tables of an environment that have an entity set.
func describe(ctx context.Context, root string) ([]*table, error) {
	var list struct{ Value []*table }
	if err := get(ctx, root+"EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute,IsIntersect", &list); err != nil {
		return nil, err
	}
	var service struct{ Value []struct{ Name string } }
	if err := get(ctx, root, &service); err != nil {
		return nil, err
	}
	sets := map[string]bool{}
	for _, s := range service.Value {
		sets[s.Name] = true
	}
	var pairs struct {
		Value []struct{ IntersectEntityName, Entity1IntersectAttribute, Entity2IntersectAttribute string }
	}
	const fields = "?$select=IntersectEntityName,Entity1IntersectAttribute,Entity2IntersectAttribute"
	if err := get(ctx, root+"RelationshipDefinitions/Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata"+fields, &pairs); err != nil {
		return nil, err
	}
	ends := map[string][]string{}
	for _, p := range pairs.Value {
		ends[p.IntersectEntityName] = []string{p.Entity1IntersectAttribute, p.Entity2IntersectAttribute}
	}
	var out []*table
	for _, t := range list.Value {
		if t.EntitySetName == "" || !sets[t.EntitySetName] {
			continue
		}
		// Participants of activities are called an intersect table, but are rows.
		t.pairs, t.ends = t.IsIntersect && t.LogicalName != parties, ends[t.LogicalName]
		out = append(out, t)
	}
	return out, nil
}

// compareTable compares the rows of one table.
func compareTable(ctx context.Context, a, b string, began time.Time, t *table) (*Result, error) {
	if err := get(ctx, a+"EntityDefinitions(LogicalName='"+t.LogicalName+"')?$select=LogicalName&$expand=Attributes", t); err != nil {
		return nil, err
	}
	if t.pairs && t.ends == nil {
		return nil, errors.New("nothing says what its pairs are")
	}
	columns := t.columns()
	r := &Result{Tables: 1, Left: map[Reason]int64{}, began: began}
	left, err := r.rows(ctx, a, t, columns)
	if err != nil {
		return nil, err
	}
	right, err := r.rows(ctx, b, t, columns)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		if right[id] == nil {
			r.bad("%s(%s): only on the first side", t.LogicalName, id)
			continue
		}
		r.Rows++
		if err := r.cells(ctx, t, columns, [2]string{a, b}, left[id], right[id]); err != nil {
			return nil, err
		}
	}
	for id := range right {
		if left[id] == nil {
			r.bad("%s(%s): only on the second side", t.LogicalName, id)
		}
	}
	return r, nil
}

// rows reads all rows of a table, by what identifies them.
func (r *Result) rows(ctx context.Context, root string, t *table, columns []column) (map[string]map[string]any, error) {
	all, err := list(ctx, root+t.EntitySetName)
	if err != nil {
		return nil, err
	}
	out := make(map[string]map[string]any, len(all))
	for _, row := range all {
		out[t.identity(row)] = row
	}
	if len(out) != len(all) {
		r.bad("%s: %d rows say the same as others", t.LogicalName, len(all)-len(out))
	}
	for _, c := range columns {
		if !c.image {
			continue
		}
		// Images come only when asked for.
		some, err := list(ctx, root+t.EntitySetName+"?$select="+t.PrimaryIdAttribute+","+c.member)
		if err != nil {
			return nil, err
		}
		for _, row := range some {
			if whole := out[t.identity(row)]; whole != nil {
				whole[c.member] = row[c.member]
			}
		}
	}
	return out, nil
}

// list reads the rows of all pages of a list.
func list(ctx context.Context, at string) ([]map[string]any, error) {
	var all []map[string]any
	for at != "" {
		var page struct {
			Value []map[string]any
			Next  string `json:"@odata.nextLink"`
		}
		if err := get(ctx, at, &page); err != nil {
			return nil, err
		}
		all, at = append(all, page.Value...), page.Next
	}
	return all, nil
}

// get reads one JSON answer.
func get(ctx context.Context, at string, into any) error {
	b, status, err := fetch(ctx, at)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("GET %s: status %d: %.200s", at, status, b)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(into)
}

func fetch(ctx context.Context, at string) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer test")
	req.Header.Set("Prefer", `odata.include-annotations="`+target[1:]+`"`)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	b, err := io.ReadAll(res.Body)
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	return b, res.StatusCode, err
}

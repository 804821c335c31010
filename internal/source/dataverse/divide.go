package dataverse

import (
	"context"
	"encoding/json"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/ranges"
)

// DivideBy names the column that tells parts of the table apart, "" if none does.
func (s *Source) DivideBy(t *allod.Table) string { return ranges.By(t) }

// divided returns the parts of the read, nil if it is a whole one.
func (r *reader) divided(req *source.ReadRequest) []ranges.Part {
	if req.Cursor.Kind != source.CursorStart {
		return r.at.Parts
	}
	if req.Divide == nil || r.at.Track || ranges.By(r.table) == "" {
		return nil
	}
	var parts []ranges.Part
	for _, f := range ranges.Cut(req.Divide.Sample, req.Divide.Parts) {
		parts = append(parts, ranges.Part{Filter: f})
	}
	return parts
}

// openPart begins a part of a divided read, or goes on with it.
func (r *reader) openPart(p ranges.Part) ranges.Pager {
	one := &reader{s: r.s, table: r.table, plan: r.plan, packs: r.packs, wide: r.wide, at: token{Link: p.Link, Size: r.at.Size}}
	if p.Link == "" {
		one.at.Link = r.table.Set + query(r.plan, "$filter="+escapeQuery(p.Filter))
	}
	return func(ctx context.Context) (page source.Page, link string, err error) {
		if page, err = one.next(ctx); err == nil && !page.Last {
			link = one.at.Link
		}
		return page, link, err
	}
}

// place is the cursor to what is left of a divided read.
func (r *reader) place(left []ranges.Part) source.Cursor {
	return cursor(source.CursorNext, token{Parts: left, Size: r.at.Size})
}

// move takes the place to where the environment is now: it may have got another
// address since.
func (t *token) move(here func(string) string) {
	t.Link = here(t.Link)
	for i := range t.Parts {
		t.Parts[i].Link = here(t.Parts[i].Link)
	}
}

// open reads the place of a cursor.
func (t *token) open(c source.Cursor) bool {
	return json.Unmarshal([]byte(c.Token), t) == nil && (t.Link != "" || len(t.Parts) > 0)
}

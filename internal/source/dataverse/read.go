package dataverse

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/chunks"
	"allod/internal/source/dataverse/codes"
	"allod/internal/source/dataverse/packages"
	"allod/internal/source/dataverse/ranges"
	"allod/internal/source/dataverse/rows"
	"allod/internal/source/odataclient"
)

// token is what a Cursor of this adapter holds.
type token struct {
	Link  string        `json:"link"` // as the service gave it
	Size  int           `json:"size,omitempty"`
	Track bool          `json:"track,omitempty"`
	Delta bool          `json:"delta,omitempty"` // the link continues a delta read
	Parts []ranges.Part `json:"parts,omitempty"` // of a divided read, instead of Link: those that have not ended
}

// maxPage is the most rows the service puts into a page
// (protocols/dataverse.md §4.1).
const maxPage = 5000

// Read yields the pages of one table. Links are followed as they stand, with
// the headers of the first request. A delta read whose token the service no
// longer takes ends with an error that wraps source.ErrDeltaExpired.
func (s *Source) Read(ctx context.Context, req source.ReadRequest) iter.Seq2[source.Page, error] {
	return func(yield func(source.Page, error) bool) {
		r, err := s.newReader(ctx, req)
		if err != nil {
			yield(source.Page{}, err)
			return
		}
		if parts := r.divided(&req); parts != nil {
			atOnce := 1
			if req.Divide != nil {
				atOnce = req.Divide.AtOnce
			}
			ranges.Read(ctx, parts, atOnce, r.openPart, r.place, yield)
			return
		}
		for {
			page, err := r.next(ctx)
			if err != nil {
				yield(source.Page{}, err)
				return
			}
			if !yield(page, nil) || page.Last {
				return
			}
		}
	}
}

// reader walks over the pages of one read.
type reader struct {
	s     *Source
	table *allod.Table
	plan  *rows.Plan
	packs bool           // packages of solutions are wanted
	wide  *chunks.Reader // reads the columns that do not fit one address; nil = they do
	at    token
	trail odataclient.Trail
}

func (s *Source) newReader(ctx context.Context, req source.ReadRequest) (*reader, error) {
	t := req.Table
	if t == nil {
		return nil, allod.Errorf(allod.Invalid, "%s: read without a table", s.name)
	}
	if t.Unreadable != "" || t.Set == "" {
		return nil, allod.Errorf(allod.Invalid, "%s, table %s: cannot be read: %s", s.name, t.Name, t.Unreadable)
	}
	pair, err := s.pairColumns(ctx, t)
	if err != nil {
		return nil, err
	}
	plan, err := rows.NewPlan(t, req.Columns, pair)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	r := &reader{s: s, table: t, plan: plan, packs: packages.Wanted(t, req.Columns)}
	if r.wide, err = s.chunked(t, req.Columns, plan); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if r.wide != nil {
		r.plan = r.wide.Plan.Parts[0]
		plan = r.plan
	}
	switch req.Cursor.Kind {
	case source.CursorStart:
		r.at = token{Link: t.Set + query(plan, ""), Size: pageSize(req.PageSize), Track: req.Track && t.Tracking}
		return r, nil
	case source.CursorNext, source.CursorDelta:
		if !r.at.open(req.Cursor) {
			return nil, allod.Errorf(allod.Invalid, "%s, table %s: the cursor is not one of this source", s.name, t.Name)
		}
		r.at.move(s.client.Here)
		if req.Cursor.Kind == source.CursorDelta {
			r.at.Delta, r.at.Size = true, pageSize(req.PageSize)
		}
		return r, nil
	}
	return nil, allod.Errorf(allod.Invalid, "%s, table %s: unknown kind of cursor %q", s.name, t.Name, req.Cursor.Kind)
}

// mark refers to the packages of solutions.
func (r *reader) mark(ctx context.Context, rows []allod.Row) error {
	if e := r.s.exporter(); e != nil && r.packs {
		return e.Mark(ctx, r.table, rows)
	}
	return nil
}

// chunked returns the reader of a table whose columns do not fit one address,
// nil for any other.
func (s *Source) chunked(t *allod.Table, columns []string, whole *rows.Plan) (*chunks.Reader, error) {
	plan, err := chunks.New(t, columns, whole)
	if plan == nil || err != nil {
		return nil, err
	}
	one := func(ctx context.Context, key allod.GUID) (*allod.Row, error) {
		row, err := s.one(ctx, t, whole, key)
		if len(row) == 0 {
			return nil, err
		}
		return &row[0], err
	}
	return &chunks.Reader{Client: s.client, Plan: plan, Header: prefer(false, 0), One: one, Escape: escapeQuery}, nil
}

func pageSize(n int) int {
	if n <= 0 || n > maxPage {
		return 0 // the service's own
	}
	return n
}

// query makes the query part of a list: $select and further options.
func query(p *rows.Plan, more string) string {
	var parts []string
	if sel := p.Select(); sel != "" {
		parts = append(parts, "$select="+sel)
	}
	if more != "" {
		parts = append(parts, more)
	}
	if len(parts) == 0 {
		return ""
	}
	return "?" + strings.Join(parts, "&")
}

// next reads one page.
func (r *reader) next(ctx context.Context) (source.Page, error) {
	var page rows.Page
	var bytes int64
	res := &odataclient.Request{
		URL: r.at.Link, Table: r.table.Name,
		// A delta link carries the wish to track in its token.
		Header: prefer(r.at.Track && !r.at.Delta, r.at.Size),
		Check: func(res *odataclient.Response) error {
			var err error
			page, err = r.plan.Decode(res.Body)
			bytes = int64(len(res.Body))
			return err
		},
	}
	if _, err := r.s.client.Do(ctx, res); err != nil {
		if r.at.Delta && codes.DeltaExpired(err) {
			return source.Page{}, &allod.Error{
				Kind: allod.Invalid, RequestID: allod.RequestIDOf(err), Hint: "the table is read whole again",
				Err: fmt.Errorf("%w: %w", err, source.ErrDeltaExpired),
			}
		}
		return source.Page{}, err
	}
	read := len(page.Rows) + len(page.Deleted)
	if r.wide != nil {
		full, more, err := r.wide.Fill(ctx, page.Rows)
		if err != nil {
			return source.Page{}, fmt.Errorf("%s: %w", r.s.name, err)
		}
		page.Rows, bytes = full, bytes+more
	}
	if err := r.mark(ctx, page.Rows); err != nil {
		return source.Page{}, err
	}
	out := source.Page{Rows: page.Rows, Deleted: page.Deleted, WireBytes: bytes, Mixed: r.wide != nil}
	if page.NextLink != "" {
		if err := r.trail.Follow(page.NextLink, read); err != nil {
			return source.Page{}, fmt.Errorf("%s, table %s: GET %s: %w", r.s.name, r.table.Name, r.table.Set, err)
		}
		r.at.Link = page.NextLink
		out.Next = cursor(source.CursorNext, r.at)
		return out, nil
	}
	out.Last = true
	if page.DeltaLink != "" {
		out.Delta = cursor(source.CursorDelta, token{Link: page.DeltaLink})
	} else if r.at.Delta {
		return source.Page{}, allod.Errorf(allod.Unavailable, "%s, table %s: the last page of the changes has no link to the next ones", r.s.name, r.table.Name)
	}
	return out, nil
}

func cursor(kind source.CursorKind, t token) source.Cursor {
	b, err := json.Marshal(t)
	if err != nil { // strings and numbers always marshal
		panic(err)
	}
	return source.Cursor{Kind: kind, Token: string(b)}
}

package dataverse

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"allod"
	"allod/internal/odata"
	"allod/internal/source"
	"allod/internal/source/dataverse/bin"
	"allod/internal/source/dataverse/codes"
	"allod/internal/source/dataverse/metadata"
	"allod/internal/source/odataclient"
	"allod/internal/source/odataclient/scan"
)

// repeats is how often a write whose answer was lost is sent at most.
const repeats = 4

// Apply carries ops out as single requests, several rows at once: one request
// per op gives each its own condition, its own answer and its own way back when
// the answer is lost, and the service's advice is many small requests at once
// rather than big batches (protocols/dataverse.md §7). Ops on one row keep
// their order; after one of them fails, the rest of that row still run.
func (s *Source) Apply(ctx context.Context, opts source.WriteOptions, ops []source.Op) ([]source.Result, error) {
	w := &writer{s: s, tag: opts.Tag, header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}}
	for _, b := range opts.Bypass {
		switch b { // protocols/dataverse.md §6.9
		case "plugins":
			w.header["Mscrm.bypassbusinesslogicexecution"] = []string{"CustomSync,CustomAsync"}
		case "flows":
			w.header["Mscrm.suppresscallbackregistrationexpanderjob"] = []string{"true"}
		default:
			return nil, allod.Errorf(allod.Invalid, "%s: no bypass %q; there are plugins and flows", s.name, b)
		}
	}
	type place struct {
		table string
		key   allod.GUID
	}
	var order []place
	groups := map[place][]int{}
	for i := range ops {
		if ops[i].Table == nil && ops[i].Relationship == nil {
			return nil, allod.Errorf(allod.Invalid, "%s: write %d names no table", s.name, i)
		}
		p := place{key: ops[i].Key}
		if ops[i].Table != nil {
			p.table = ops[i].Table.Name
		}
		if groups[p] == nil {
			order = append(order, p)
		}
		groups[p] = append(groups[p], i)
	}
	results := make([]source.Result, len(ops))
	var g errgroup.Group
	g.SetLimit(max(s.client.Parallel(), 1))
	for _, p := range order {
		g.Go(func() error {
			for _, i := range groups[p] {
				results[i] = w.one(ctx, &ops[i])
			}
			return nil
		})
	}
	_ = g.Wait() // failures are results
	return results, nil
}

// writer carries out the ops of one Apply.
type writer struct {
	s      *Source
	tag    string
	header http.Header
}

func (w *writer) one(ctx context.Context, op *source.Op) source.Result {
	if err := ctx.Err(); err != nil {
		return source.Result{Err: &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("%s: not begun: %w", w.s.name, err)}}
	}
	if op.Table != nil && op.Table.Intersect && op.Relationship == nil { // protocols/dataverse.md §3.1
		return source.Result{Err: allod.Errorf(allod.Invalid, "%s, table %s: its rows are pairs, which are associated and not written", w.s.name, op.Table.Name)}
	}
	switch op.Kind {
	case source.OpCreate:
		return w.create(ctx, op)
	case source.OpUpdate:
		return w.update(ctx, op)
	case source.OpDelete:
		return w.remove(ctx, op)
	case source.OpAssociate, source.OpDissociate:
		return w.associate(ctx, op)
	case source.OpState:
		return w.state(ctx, op)
	case source.OpFile:
		return w.file(ctx, op)
	case source.OpReplaceParty:
		return w.parties(ctx, op)
	}
	return source.Result{Err: allod.Errorf(allod.Invalid, "%s: unknown kind of write %q", w.s.name, op.Kind)}
}

// address appends the tag and further query parts to a relative address.
func (w *writer) address(at string, more ...string) string {
	if w.tag != "" {
		more = append(more, "tag="+escapeQuery(w.tag)) // protocols/dataverse.md §2.2
	}
	if len(more) == 0 {
		return at
	}
	return at + "?" + strings.Join(more, "&")
}

// headers returns the headers of a write with further ones.
func (w *writer) headers(more ...string) http.Header {
	h := w.header.Clone()
	for i := 0; i+1 < len(more); i += 2 {
		h[http.CanonicalHeaderKey(more[i])] = []string{more[i+1]}
	}
	return h
}

// condition is the If-Match of an op planned against a version. Without one,
// the row must at least exist: a bare PATCH would make it anew
// (protocols/dataverse.md §6.2, §15.6).
func condition(version uint64) string {
	if version == 0 {
		return "*"
	}
	return odata.FormatEtag(version)
}

// settled asks whether a write whose answer was lost had its effect: done, or
// to be sent again, or an error.
type settled func(context.Context) (done bool, version uint64, err error)

// send sends a write once, and again only after asking. It returns the version
// of the row, 0 if that is not known.
func (w *writer) send(ctx context.Context, r *odataclient.Request, ask settled) (version uint64, err error) {
	for n := 1; ; n++ {
		res, err := w.s.client.Do(ctx, r)
		if err == nil {
			return responseVersion(res), nil
		}
		if !odataclient.IsLost(err) || ctx.Err() != nil {
			return 0, err
		}
		done, version, asked := ask(ctx)
		if asked != nil {
			// What was found decides the kind; the request id is the write's.
			return 0, &allod.Error{
				Kind: allod.KindOf(asked), Hint: allod.HintOf(asked), RequestID: allod.RequestIDOf(err),
				Err: fmt.Errorf("%w; asked whether it was done: %w", err, asked),
			}
		}
		if done {
			return version, nil
		}
		if n >= repeats {
			return 0, err
		}
		if werr := w.s.client.Backoff(ctx, n); werr != nil {
			return 0, err
		}
	}
}

// responseVersion reads the row version of the answer to a write that asked
// for the row; 0 if it says none.
func responseVersion(res *odataclient.Response) uint64 {
	tag := res.Header.Get("Etag")
	if p := scan.New(res.Body); res.Body != "" {
		// A body that is no row leaves the version unknown.
		_ = p.Object(func(key string) error {
			if key != odata.ETag || p.Peek() != '"' {
				return p.Skip()
			}
			var err error
			tag, err = p.Text()
			return err
		})
	}
	v, err := odata.ParseEtag(tag)
	if err != nil {
		return 0
	}
	return v
}

// create inserts with the given key and never overwrites: PATCH with
// If-None-Match: *, the documented way to choose the key
// (protocols/dataverse.md §6.1, §6.2). Activities with participants are POSTed,
// since only that takes nested rows.
func (w *writer) create(ctx context.Context, op *source.Op) source.Result {
	if op.FromBin {
		return bin.Create(ctx, op, bin.Writes{Restore: func(body []byte) error {
			_, err := w.send(ctx, &odataclient.Request{Method: http.MethodPost, Table: op.Table.Name, URL: w.address("Restore"), Header: w.headers(), Body: body}, w.there(op))
			return err
		}, There: w.there(op), Update: w.update, Make: w.create})
	}
	p := payload{w: w, table: op.Table, creating: true}
	if err := p.cells(ctx, op.Cells); err != nil {
		return source.Result{Err: err}
	}
	if !op.CreatedOn.IsZero() && op.Table.Column("overriddencreatedon") != nil {
		p.text("overriddencreatedon", op.CreatedOn.UTC().Format("2006-01-02T15:04:05Z"))
	}
	r := &odataclient.Request{
		Method: http.MethodPatch, Table: op.Table.Name, URL: w.address(rowURL(op.Table, op.Key), "$select="+op.Table.Key),
		Header: w.headers("If-None-Match", "*", "Prefer", "return=representation"),
	}
	if len(op.Parties) > 0 {
		nav, err := w.s.partyNavigation(ctx, op.Table.Name)
		if err != nil {
			return source.Result{Err: err}
		}
		list, err := w.partyList(ctx, op)
		if err != nil {
			return source.Result{Err: err}
		}
		p.text(op.Table.Key, op.Key.String())
		p.raw(nav, list)
		r.Method, r.URL, r.Header = http.MethodPost, w.address(op.Table.Set, "$select="+op.Table.Key), w.headers("Prefer", "return=representation")
	}
	r.Body = p.body()
	version, err := w.send(ctx, r, w.asWritten(op, 0))
	return source.Result{Err: err, Version: version, Note: p.note()}
}

func (w *writer) update(ctx context.Context, op *source.Op) source.Result {
	p := payload{w: w, table: op.Table}
	if err := p.cells(ctx, op.Cells); err != nil {
		return source.Result{Err: err}
	}
	if p.empty() {
		return source.Result{Version: op.Version, Note: p.note()}
	}
	version, err := w.patch(ctx, op, p.body())
	return source.Result{Err: err, Version: version, Note: p.note()}
}

func (w *writer) patch(ctx context.Context, op *source.Op, body []byte) (uint64, error) {
	version, err := w.send(ctx, &odataclient.Request{
		Method: http.MethodPatch, Table: op.Table.Name, URL: w.address(rowURL(op.Table, op.Key), "$select="+op.Table.Key),
		Header: w.headers("If-Match", condition(op.Version), "Prefer", "return=representation"), Body: body,
	}, w.asWritten(op, op.Version))
	return version, err
}

// asWritten asks by reading the row. Missing, or still at the version that was
// planned against: not done. All cells as they were written: done. Anything
// else is somebody else's: Conflict.
func (w *writer) asWritten(op *source.Op, planned uint64) settled {
	return func(ctx context.Context) (bool, uint64, error) {
		names := []string{}
		for name := range op.Cells {
			if c := op.Table.Column(name); c != nil && c.Derived == "" && c.Unreadable == "" && c.Type != allod.File {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		found, err := w.s.getOne(ctx, op.Table, op.Key, names)
		if err != nil {
			return false, 0, err
		}
		if len(found) == 0 {
			return false, 0, nil
		}
		row := &found[0]
		if planned != 0 && row.Version == planned {
			return false, 0, nil
		}
		for _, name := range names {
			if i := op.Table.ColumnIndex(name); writable(&op.Table.Columns[i], op.Kind == source.OpCreate) && !same(row.Cell(i), op.Cells[name]) {
				if planned == 0 && op.Kind != source.OpCreate {
					return false, 0, nil
				}
				return false, 0, allod.Errorf(allod.Conflict, "%s, table %s: the row has other values than were written", w.s.name, op.Table.Name)
			}
		}
		return true, row.Version, nil
	}
}

// same compares what a service gives back with what it was given, leaving the
// types aside whose text it may write in its own way.
func same(got, want allod.Value) bool {
	switch want.Type() {
	case allod.Decimal, allod.Double, allod.DateTime, allod.JSON:
		return got.IsNull() == want.IsNull()
	case allod.Lookup:
		return got.GUID() == want.GUID()
	default:
		return got == want
	}
}

func (w *writer) remove(ctx context.Context, op *source.Op) source.Result {
	r := &odataclient.Request{Method: http.MethodDelete, Table: op.Table.Name, URL: w.address(rowURL(op.Table, op.Key)), Header: w.headers()}
	if op.Version != 0 {
		r.Header = w.headers("If-Match", condition(op.Version))
	}
	_, err := w.send(ctx, r, func(ctx context.Context) (bool, uint64, error) {
		there, _, err := w.there(op)(ctx)
		return err == nil && !there, 0, err
	})
	if codes.RowGone(err) {
		return source.Result{Note: "it was gone already"}
	}
	return source.Result{Err: err}
}

// there asks whether the row of an op exists.
func (w *writer) there(op *source.Op) settled {
	return func(ctx context.Context) (bool, uint64, error) {
		found, err := w.s.getOne(ctx, op.Table, op.Key, []string{op.Table.Key})
		return len(found) > 0, 0, err
	}
}

// associate adds or removes a pair. Both may be repeated: a pair that exists,
// or is missing, is what was wanted (protocols/dataverse.md §6.5).
func (w *writer) associate(ctx context.Context, op *source.Op) source.Result {
	rel := op.Relationship
	if rel == nil || !rel.ManyToMany() || rel.Bind1 == "" {
		return source.Result{Err: allod.Errorf(allod.Invalid, "%s: a pair needs a many-to-many relationship with a navigation property", w.s.name)}
	}
	one, err := w.s.entitySet(ctx, rel.Table1)
	if err != nil {
		return source.Result{Err: err}
	}
	at := one + "(" + op.Key.String() + ")/" + rel.Bind1
	r := &odataclient.Request{Table: rel.Intersect, Header: w.headers(), Repeatable: true}
	if op.Kind == source.OpDissociate {
		r.Method, r.URL = http.MethodDelete, w.address(at+"("+op.Other.String()+")/$ref")
		_, err := w.s.client.Do(ctx, r)
		if codes.RowGone(err) {
			return source.Result{Note: "the pair was gone already"}
		}
		return source.Result{Err: err}
	}
	two, err := w.s.entitySet(ctx, rel.Table2)
	if err != nil {
		return source.Result{Err: err}
	}
	r.Method, r.URL = http.MethodPost, w.address(at+"/$ref")
	r.Body = append(scan.AppendString([]byte(`{"@odata.id":`), w.s.client.Base()+two+"("+op.Other.String()+")"), '}')
	_, err = w.s.client.Do(ctx, r)
	if codes.PairThere(err) {
		return source.Result{Note: "the pair was there already"}
	}
	return source.Result{Err: err}
}

// entitySet returns the entity set of a table, asking for it when Describe was
// not called in this process.
func (s *Source) entitySet(ctx context.Context, table string) (string, error) {
	s.mu.Lock()
	set := s.sets[table]
	s.mu.Unlock()
	if set != "" {
		return set, nil
	}
	if !identifier.MatchString(table) {
		return "", allod.Errorf(allod.Invalid, "%s: no table %q", s.name, table)
	}
	var e metadata.Entity
	if err := s.getJSON(ctx, "EntityDefinitions(LogicalName='"+table+"')?$select=EntitySetName", table, &e); err != nil {
		return "", err
	}
	if e.EntitySetName == "" {
		return "", allod.Errorf(allod.Invalid, "%s, table %s: it has no entity set", s.name, table)
	}
	s.mu.Lock()
	s.sets[table] = e.EntitySetName
	s.mu.Unlock()
	return e.EntitySetName, nil
}

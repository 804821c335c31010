// Package packages makes the exported packages of unmanaged solutions files of
// the rows of table solution, so that a backup keeps them like any file
// (protocols/dataverse.md §11). Forms, views, processes and the other
// components that are rows of their own are read as such besides.
package packages

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/source/dataverse/ask"
	"allod/internal/source/dataverse/rows"
	"allod/internal/source/odataclient"
)

const (
	table  = "solution"
	column = "exported_package"
	// maxPackage bounds an exported package in base64, in bytes.
	maxPackage = 140 << 20
	// perRead is how many components one read asks for, perBatch how many reads
	// one $batch has.
	perRead, perBatch = 200, 50
	maxAnswer         = 32 << 20
	// refresh is after how long a package is exported again at the latest: some
	// components, such as choices and relationships, do not say when they change.
	refresh = 7 * 24 * time.Hour
)

// id stands for the column in the digests of tables.
var id = allod.GUID{0xa1, 0x10, 0xd0, 0x50, 0x1e, 0x7a, 0x40, 0x01, 0x80, 0x01}

// Describe adds the column to the schema. Table solution is small and is read
// whole each time: a component can change while the solution's row does not.
func Describe(s *allod.Schema) {
	t := s.Table(table)
	if t == nil || t.Unreadable != "" || t.Key == "" || t.Column("uniquename") == nil || t.Column("ismanaged") == nil || t.Column(column) != nil {
		return
	}
	t.Tracking = false
	at := slices.IndexFunc(t.Columns, func(c allod.Column) bool { return c.Derived != "" || c.Unreadable != "" })
	if at < 0 {
		at = len(t.Columns)
	}
	t.Columns = slices.Insert(t.Columns, at, allod.Column{
		Name: column, ID: id, Type: allod.File, Native: rows.NativePackage, Label: "Exported package (unmanaged solutions)", Unwritable: allod.NotWritablePlatform,
	})
}

// Exporter knows the tables that components are rows of. It is safe for
// concurrent use.
type Exporter struct {
	client *odataclient.Client
	env    string
	now    func() time.Time
	escape func(string) string
	tables map[int]*allod.Table // type of component → its table
	shapes map[allod.GUID]shape // table as a component → what it is now
	views  *allod.Table
	forms  *allod.Table
}

type shape struct{ name, digest string }

// rowTypes are the types of components that are rows (componenttype of
// solutioncomponent).
var rowTypes = map[int]string{
	20: "role", 26: "savedquery", 29: "workflow", 31: "report", 36: "template", 59: "savedqueryvisualization", 60: "systemform", 61: "webresource",
	62: "sitemap", 66: "customcontrol", 70: "fieldsecurityprofile", 80: "appmodule", 90: "plugintype", 91: "pluginassembly",
	92: "sdkmessageprocessingstep", 93: "sdkmessageprocessingstepimage", 95: "serviceendpoint", 152: "sla", 300: "canvasapp", 371: "connector",
	380: "environmentvariabledefinition", 381: "environmentvariablevalue",
}

// New makes an Exporter for the schema; nil where no packages can be exported.
func New(client *odataclient.Client, env string, now func() time.Time, escape func(string) string, s *allod.Schema) (*Exporter, error) {
	t := s.Table(table)
	if t == nil || t.Column(column) == nil {
		return nil, nil
	}
	e := &Exporter{client: client, env: env, now: now, escape: escape, tables: map[int]*allod.Table{}, shapes: map[allod.GUID]shape{}}
	for kind, name := range rowTypes {
		e.note(kind, s.Table(name))
	}
	for i := range s.Tables {
		t := &s.Tables[i]
		if t.Code >= 10000 { // tables of solutions name their rows by their own code
			e.note(t.Code, t)
		}
		b, err := json.Marshal(t)
		if err != nil {
			return nil, fmt.Errorf("%s: describe table %s: %w", env, t.Name, err)
		}
		e.shapes[t.ID] = shape{t.Name, digest(string(b))}
	}
	e.views, e.forms = e.tables[26], e.tables[60]
	return e, nil
}

func (e *Exporter) note(kind int, t *allod.Table) {
	if t != nil && t.Set != "" && t.Key != "" && t.Unreadable == "" && e.tables[kind] == nil {
		e.tables[kind] = t
	}
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// exported reports whether a package of the solution is kept: unmanaged,
// visible, and none of those that stand for what belongs to no other.
func exported(t *allod.Table, row *allod.Row) (name string, ok bool) {
	cell := func(c string) allod.Value { return row.Cell(t.ColumnIndex(c)) }
	name = cell("uniquename").Text()
	managed, visible := cell("ismanaged"), cell("isvisible")
	switch name {
	case "", "Default", "Active", "Basic":
		return name, false
	}
	return name, managed.Type() == allod.Boolean && !managed.Bool() && (visible.Type() != allod.Boolean || visible.Bool())
}

// Wanted reports whether the packages are among the columns that are read of a
// table; nil = all of them.
func Wanted(t *allod.Table, columns []string) bool {
	return t.Name == table && t.Column(column) != nil && (columns == nil || slices.Contains(columns, column))
}

// Mark puts a reference to its package into each row of table solution that has
// one. The reference names the state of the solution and of its components, so
// that only what changed is exported again. What of them may not be read counts
// as unchanged. The column must be Wanted.
func (e *Exporter) Mark(ctx context.Context, t *allod.Table, read []allod.Row) error {
	at := t.ColumnIndex(column)
	for i := range read {
		row := &read[i]
		row.Cells[at] = allod.NullValue()
		name, ok := exported(t, row)
		if !ok {
			continue
		}
		state, err := e.state(ctx, t, row)
		if err != nil {
			return err
		}
		row.Cells[at] = allod.FileValue(allod.FileRef{Name: name + ".zip", MIME: "application/zip", SourceID: state})
	}
	return nil
}

// part is one row of solutioncomponent.
type part struct {
	Object   allod.GUID `json:"objectid"`
	Kind     int        `json:"componenttype"`
	Behavior int        `json:"rootcomponentbehavior"`
}

// state is a digest of the solution, of its list of components, and of what they
// are now.
func (e *Exporter) state(ctx context.Context, t *allod.Table, row *allod.Row) (string, error) {
	all := []string{fmt.Sprint(row.Version), row.Cell(t.ColumnIndex("version")).Text(), fmt.Sprint(e.now().UTC().Unix() / int64(refresh/time.Second))}
	parts, err := e.parts(ctx, row.Key)
	if err != nil {
		return "", err
	}
	ids := map[*allod.Table][]string{}
	var links []string
	for _, p := range parts {
		all = append(all, fmt.Sprint(p.Kind, p.Object, p.Behavior))
		if c := e.tables[p.Kind]; c != nil {
			ids[c] = append(ids[c], p.Object.String())
		}
		s, isTable := e.shapes[p.Object]
		if p.Kind != 1 || !isTable {
			continue
		}
		all = append(all, s.digest)
		if p.Behavior == 0 { // with all its forms and views
			links = append(links, e.link(e.forms, "objecttypecode eq '"+s.name+"'"), e.link(e.views, "returnedtypecode eq '"+s.name+"'"))
		}
	}
	for c, list := range ids {
		for some := range slices.Chunk(list, perRead) {
			links = append(links, e.link(c, `Microsoft.Dynamics.CRM.In(PropertyName='`+c.Key+`',PropertyValues=["`+strings.Join(some, `","`)+`"])`))
		}
	}
	links = slices.DeleteFunc(links, func(l string) bool { return l == "" })
	for some := range slices.Chunk(links, perBatch) {
		versions, err := e.versions(ctx, some)
		if err != nil {
			return "", err
		}
		all = append(all, versions...)
	}
	slices.Sort(all)
	return digest(all...), nil
}

func (e *Exporter) link(t *allod.Table, filter string) string {
	if t == nil {
		return ""
	}
	return t.Set + "?$select=" + t.Key + "&$filter=" + e.escape(filter)
}

// parts lists the components of a solution.
func (e *Exporter) parts(ctx context.Context, solution allod.GUID) ([]part, error) {
	var all []part
	link := "solutioncomponents?$select=objectid,componenttype,rootcomponentbehavior&$filter=" + e.escape("_solutionid_value eq "+solution.String())
	for trail := (odataclient.Trail{}); link != ""; {
		var page struct {
			Value []part
			Next  string `json:"@odata.nextLink"`
		}
		_, err := e.client.Do(ctx, &odataclient.Request{URL: link, Table: "solutioncomponent", Check: into(&page)})
		if refused(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, page.Value...)
		if link = page.Next; link != "" {
			if err := trail.Follow(link, len(page.Value)); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// into decodes an answer.
func into(v any) func(*odataclient.Response) error {
	return func(res *odataclient.Response) error {
		if json.Unmarshal([]byte(res.Body), v) != nil {
			return allod.Errorf(allod.Unavailable, "the answer has another shape than documented")
		}
		return nil
	}
}

// refused reports whether the service will not answer, so that asking again does
// not help.
func refused(err error) bool {
	switch allod.KindOf(err) {
	case allod.Denied, allod.NotFound, allod.Invalid:
		st := odataclient.AsStatus(err)
		return st != nil && st.Status != http.StatusUnauthorized
	default:
		return false
	}
}

// versions reads the present versions of rows.
func (e *Exporter) versions(ctx context.Context, links []string) ([]string, error) {
	answers, err := ask.Batch(ctx, e.client, table, links, http.Header{"Accept": {"application/json"}}, maxAnswer)
	if err != nil {
		return nil, err
	}
	var all []string
	for i, link := range links {
		var page struct{ Value []map[string]any }
		if i >= len(answers) || answers[i].Status != http.StatusOK || json.Unmarshal(answers[i].Body, &page) != nil {
			_, err := e.client.Do(ctx, &odataclient.Request{URL: link, Table: table, Check: into(&page)})
			if err != nil && !refused(err) {
				return nil, err
			}
		}
		for _, row := range page.Value {
			b, err := json.Marshal(row) // sorts the members
			if err != nil {
				return nil, fmt.Errorf("%s: read the versions of components: %w", e.env, err)
			}
			all = append(all, string(b))
		}
	}
	return all, nil
}

// Open exports the solution of the row and returns the package, a zip file that
// can be imported into another environment. Denied where the right to export is
// missing, NotFound where the solution is gone or has no package.
func (e *Exporter) Open(ctx context.Context, t *allod.Table, row *allod.Row) (io.ReadCloser, error) {
	name, ok := exported(t, row)
	if !ok {
		return nil, allod.Errorf(allod.NotFound, "%s, table %s: the solution has no package", e.env, table)
	}
	body, err := json.Marshal(map[string]any{"SolutionName": name, "Managed": false})
	if err != nil {
		return nil, fmt.Errorf("%s: export a solution: %w", e.env, err)
	}
	var out struct{ ExportSolutionFile string }
	_, err = e.client.Do(ctx, &odataclient.Request{
		Method: http.MethodPost, URL: "ExportSolution", Table: table, Body: body, Repeatable: true, MaxBytes: maxPackage,
		Header: http.Header{"Content-Type": {"application/json"}},
		Check:  into(&out),
	})
	if err != nil {
		return nil, err
	}
	if out.ExportSolutionFile == "" {
		return nil, allod.Errorf(allod.Unavailable, "%s, table %s: the service exported an empty package", e.env, table)
	}
	return io.NopCloser(base64.NewDecoder(base64.StdEncoding, strings.NewReader(out.ExportSolutionFile))), nil
}

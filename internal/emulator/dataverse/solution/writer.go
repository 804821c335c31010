package solution

import (
	"archive/zip"
	"bytes"
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

// The kinds of components that are written (solutioncomponent.componenttype).
const (
	kindTable       = 1
	kindColumn      = 2
	kindRole        = 20
	kindView        = 26
	kindProcess     = 29
	kindForm        = 60
	kindWebResource = 61
	kindApp         = 80
	kindCanvasApp   = 300
	kindVariable    = 380
	kindValue       = 381
)

// Values of rootcomponentbehavior.
const (
	whole = 0 // with all that belongs to it
)

// part is one component of the solution.
type part struct {
	kind     int
	id       allod.GUID
	behavior int
}

// writer writes one package.
type writer struct {
	tx      *store.Tx
	m       *entity.Model
	row     *store.Row // of the solution
	managed bool
	parts   []part
	files   map[string][]byte
}

func newWriter(tx *store.Tx, m *entity.Model, row *store.Row, managed bool) *writer {
	w := &writer{tx: tx, m: m, row: row, managed: managed, files: map[string][]byte{}}
	if !tx.Has(components) {
		return w
	}
	number := func(r *store.Row, column string) int { return int(tx.Value(components, r, column).Int()) }
	for _, id := range tx.Find(components, "solutionid", allod.IDValue(row.Key)) {
		r := tx.Get(components, id)
		w.parts = append(w.parts, part{number(r, "componenttype"), tx.Value(components, r, "objectid").GUID(), number(r, "rootcomponentbehavior")})
	}
	slices.SortFunc(w.parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), slices.Compare(a.id[:], b.id[:]))
	})
	return w
}

// rows are the components of a kind that are rows of the table and exist.
func (w *writer) rows(kind int, table string) (out []*store.Row) {
	if !w.tx.Has(table) {
		return nil
	}
	for _, p := range w.parts {
		if r := w.tx.Get(table, p.id); p.kind == kind && r != nil {
			out = append(out, r)
		}
	}
	return out
}

// pack writes the package: solution.xml, customizations.xml, the files they
// name and the types of content.
func (w *writer) pack() ([]byte, error) {
	w.files["customizations.xml"] = w.customizations().document() // names further files
	w.files["solution.xml"] = w.manifest().document()
	w.files["[Content_Types].xml"] = w.types().document()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range sorted(w.files) {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: w.changed()})
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(w.files[name]); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}

// changed dates the files: when the solution itself was changed, UTC.
func (w *writer) changed() time.Time {
	at, err := time.Parse(time.RFC3339, w.tx.Value(table, w.row, "modifiedon").Text())
	if err != nil {
		return time.Time{} // a row loaded without stamps; zip then has no date
	}
	return at.UTC()
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// types is [Content_Types].xml (OPC): by extension, by name where there is
// none.
func (w *writer) types() *node {
	root := el("Types", "xmlns", "http://schemas.openxmlformats.org/package/2006/content-types")
	extensions := map[string]bool{"xml": true}
	var bare []string
	for _, name := range sorted(w.files) {
		if ext := strings.TrimPrefix(path.Ext(name), "."); ext != "" {
			extensions[ext] = true
		} else {
			bare = append(bare, name)
		}
	}
	for _, ext := range sorted(extensions) {
		root.add(el("Default", "Extension", ext, "ContentType", "application/octet-stream"))
	}
	for _, name := range bare {
		root.add(el("Override", "PartName", "/"+name, "ContentType", "application/octet-stream"))
	}
	return root
}

// manifest is solution.xml.
func (w *writer) manifest() *node {
	text := func(column string) string { return w.tx.Value(table, w.row, column).Text() }
	roots := el("RootComponents")
	for _, p := range w.parts {
		roots.add(w.root(p))
	}
	slices.SortFunc(roots.children, func(a, b *node) int { // not by ids: those of tables differ between organisations
		return slices.Compare(a.attrs, b.attrs)
	})
	return importExport("SolutionPackageVersion", "9.2", "languagecode", "1033", "generatedBy", "CrmLive").add(el("SolutionManifest").add(
		leaf("UniqueName", text("uniquename")),
		names("LocalizedNames", "LocalizedName", text("friendlyname")),
		names("Descriptions", "Description", text("description")),
		leaf("Version", text("version")),
		leaf("Managed", bit(w.managed)),
		w.publisher(),
		roots,
		el("MissingDependencies"),
	))
}

func (w *writer) publisher() *node {
	_, id := w.tx.Value(table, w.row, "publisherid").Target()
	r := w.tx.Get(publishers, id)
	if r == nil {
		return el("Publisher")
	}
	text := func(column string) string { return w.tx.Value(publishers, r, column).Text() }
	return el("Publisher").add(
		leaf("UniqueName", text("uniquename")),
		names("LocalizedNames", "LocalizedName", text("friendlyname")),
		el("Descriptions"),
		leaf("EMailAddress", ""),
		leaf("SupportingWebsiteUrl", ""),
		leaf("CustomizationPrefix", text("customizationprefix")),
		leaf("CustomizationOptionValuePrefix", strconv.FormatInt(w.tx.Value(publishers, r, "customizationoptionvalueprefix").Int(), 10)),
		el("Addresses"),
	)
}

// root is the component in the list of solution.xml: by schema name where it
// has one that is the same everywhere, else by id. Columns of tables that are
// listed go with their table.
func (w *writer) root(p part) *node {
	kind, behavior := strconv.Itoa(p.kind), strconv.Itoa(p.behavior)
	named := func(table, column string) *node {
		r := w.tx.Get(table, p.id)
		if r == nil {
			return nil
		}
		return el("RootComponent", "type", kind, "schemaName", w.tx.Value(table, r, column).Text(), "behavior", behavior)
	}
	switch p.kind {
	case kindTable:
		if t := w.tableOf(p.id); t != nil {
			return el("RootComponent", "type", kind, "schemaName", t.LogicalName, "behavior", behavior)
		}
		return nil
	case kindColumn, kindValue: // with their table, with their variable
		return nil
	case kindWebResource:
		return named("webresource", "name")
	case kindApp:
		return named("appmodule", "uniquename")
	case kindCanvasApp:
		return named("canvasapp", "name")
	case kindVariable:
		return named("environmentvariabledefinition", "schemaname")
	}
	return el("RootComponent", "type", kind, "id", braces(p.id), "behavior", behavior)
}

func (w *writer) tableOf(id allod.GUID) *entity.Table {
	for _, t := range w.m.Tables {
		if t.MetadataID == id {
			return t
		}
	}
	return nil
}

// importExport is the root of both documents.
func importExport(attrs ...string) *node {
	return el("ImportExportXml", append([]string{"version", "9.2.24014.198"}, append(attrs, "xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")...)...)
}

func names(list, item, text string) *node {
	n := el(list)
	if text == "" {
		return n
	}
	return n.add(el(item, "description", text, "languagecode", "1033"))
}

func bit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

func braces(id allod.GUID) string { return "{" + id.String() + "}" }

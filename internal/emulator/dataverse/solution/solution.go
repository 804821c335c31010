// Package solution answers ExportSolution and its relatives: it writes a
// solution and what it holds as a package (protocols/dataverse.md §11.1;
// Solution file reference; customizations.xsd).
//
// What the package says of components of other kinds than tables, columns,
// relationships, roles, views, forms, processes, web resources, apps,
// connection references and environment variables is their id alone. Ribbons,
// charts, dashboards' parts and translations are not written.
package solution

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

type object = map[string]any

// The tables that solutions are kept in.
const (
	table      = "solution"
	components = "solutioncomponent"
	publishers = "publisher"
)

// Privilege is what exporting asks for (ExportSolution message privileges).
const Privilege = "prvExportCustomization"

// Actions answer POST by name (§11.1).
func Actions() map[string]func(change.Writer) (map[string]any, error) {
	return map[string]func(change.Writer) (object, error){
		"ExportSolution":             export,
		"ExportSolutionAsync":        exportLater,
		"DownloadSolutionExportData": download,
	}
}

// request is the body of the two exports. What else clients send says which
// settings of the organisation to put in; there are none here.
type request struct {
	SolutionName *string
	Managed      *bool
}

func parse(c change.Writer) (request, error) {
	var r request
	if err := json.Unmarshal(c.Body, &r); err != nil || r.SolutionName == nil || r.Managed == nil {
		return r, wire.BadPayload("The properties 'SolutionName' and 'Managed' were expected.")
	}
	return r, access.Need(c.User, Privilege)
}

// pack writes the package of the solution that the request names. The texts
// are the service's, the codes are not documented.
func pack(c change.Writer, tx *store.Tx, r request) ([]byte, error) {
	const code, what = "0x80040203", "An error occurred while exporting a solution. "
	if !tx.Has(table) {
		return nil, wire.NoSegment("ExportSolution")
	}
	var row *store.Row
	for _, id := range tx.Find(table, "uniquename", allod.StringValue(*r.SolutionName)) {
		row = tx.Get(table, id)
	}
	switch {
	case row == nil:
		return nil, wire.Refuse(http.StatusNotFound, code, what+"The solution does not exist in this system.")
	case tx.Value(table, row, "ismanaged").Bool():
		return nil, wire.Refuse(http.StatusBadRequest, code, what+"Managed solutions cannot be exported.")
	}
	if name := tx.Value(table, row, "uniquename").Text(); name == "Default" || name == "Active" {
		return nil, wire.Refuse(http.StatusBadRequest, code, "The default solution cannot be exported as a package.") // §11.1
	}
	w := newWriter(tx, c.Schema.Model, row, *r.Managed)
	return w.pack()
}

// export is ExportSolution. The same rows give the same bytes.
func export(c change.Writer) (object, error) {
	r, err := parse(c)
	if err != nil {
		return nil, err
	}
	var file []byte
	err = c.View(func(tx *store.Tx) error {
		file, err = pack(c, tx, r)
		return err
	})
	return object{"ExportSolutionFile": base64.StdEncoding.EncodeToString(file)}, err
}

// exportLater is ExportSolutionAsync. A client that asks for the job finds it
// completed, or failed with a message.
func exportLater(c change.Writer) (object, error) {
	r, err := parse(c)
	if err != nil {
		return nil, err
	}
	export := c.Org.NewID()
	operation, err := c.Job(platform.JobExport, "ExportSolutionAsync", func(c change.Writer, _ allod.GUID, _ time.Time) error {
		return c.Update(func(a *platform.Act) error {
			file, err := pack(c, a.Tx, r)
			if err == nil {
				a.Tx.PutBlob(export, store.NewBlob(*r.SolutionName+".zip", "application/zip", file))
			}
			return err
		})
	})
	return object{"AsyncOperationId": operation.String(), "ExportJobId": export.String()}, err
}

// download is DownloadSolutionExportData. A package stays until the
// organisation is rewound.
func download(c change.Writer) (object, error) {
	var r struct {
		ExportJobID allod.GUID `json:"ExportJobId"`
	}
	if err := json.Unmarshal(c.Body, &r); err != nil {
		return nil, wire.BadPayload("A property 'ExportJobId' was expected.")
	}
	if err := access.Need(c.User, Privilege); err != nil {
		return nil, err
	}
	var file []byte
	err := c.View(func(tx *store.Tx) (err error) {
		b := tx.Blob(r.ExportJobID)
		if b == nil || b.MIME != "application/zip" {
			return wire.NoRow("exportsolutionupload", r.ExportJobID.String())
		}
		file, err = content(b)
		return err
	})
	return object{"ExportSolutionFile": base64.StdEncoding.EncodeToString(file)}, err
}

// content is all that a blob holds.
func content(b *store.Blob) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(b, 0, b.Size))
}

// fileName makes a name for a part of the package of any text: letters,
// digits, and few signs.
func fileName(text string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return -1
	}, text)
	return s[:min(len(s), 100)]
}

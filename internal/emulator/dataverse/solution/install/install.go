package install

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/customize"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Privilege is what importing asks for (ImportSolution message privileges).
const Privilege = "prvImportCustomization"

// Types of what is kept between messages.
const (
	staged = "application/zip"  // a package, under the id of its upload
	ended  = "application/json" // a result, under the id of its import job
)

// Action is a message. begin remembers the schema, when something is going to
// change it, and returns what puts it back.
type Action func(c change.Writer, reshape customize.Reshape, begin func() func() error) (map[string]any, error)

// Actions answer POST by name.
func Actions() map[string]Action {
	return map[string]Action{
		"StageSolution":        stage,
		"ImportSolution":       importNow,
		"ImportSolutionAsync":  importLater,
		"StageAndUpgradeAsync": importLater,
	}
}

type body struct {
	CustomizationFile  string
	ImportJobID        allod.GUID `json:"ImportJobId"`
	PublishWorkflows   bool
	SolutionParameters struct {
		StageSolutionUploadID allod.GUID `json:"StageSolutionUploadId"`
	}
}

func parse(c change.Writer) (b body, err error) {
	if c.Tx != nil {
		return b, wire.Refuse(http.StatusNotImplemented, "0x80040800", "The emulator imports solutions outside of change sets only.")
	}
	if json.Unmarshal(c.Body, &b) != nil {
		return b, wire.BadPayload("Invalid JSON.")
	}
	return b, access.Need(c.User, Privilege)
}

// stage keeps a package for an import that names it.
func stage(c change.Writer, _ customize.Reshape, _ func() func() error) (map[string]any, error) {
	b, err := parse(c)
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(b.CustomizationFile)
	if err != nil || len(raw) == 0 {
		return nil, wire.BadPayload("A property 'CustomizationFile' in Base64 was expected.")
	}
	p, err := read(raw)
	if err != nil {
		return nil, err
	}
	id := c.Org.NewID()
	c.Org.Store.InsertBlob(id, store.NewBlob(p.Solution.UniqueName+".zip", staged, raw))
	return object{"StageSolutionResults": object{
		"StageSolutionUploadId": id.String(), "StageSolutionStatus": "Passed", "MissingDependencies": []object{}, "SolutionValidationResults": []object{},
		"SolutionDetails": object{"SolutionUniqueName": p.Solution.UniqueName, "SolutionFriendlyName": first(p.Solution.Names), "SolutionVersion": p.Solution.Version},
	}}, nil
}

// of finds the package that a message imports: in its body, or staged.
func (b body) of(c change.Writer) (*pack, error) {
	raw, err := base64.StdEncoding.DecodeString(b.CustomizationFile)
	if err != nil {
		return nil, wire.BadPayload("A property 'CustomizationFile' in Base64 was expected.")
	}
	if len(raw) == 0 {
		if raw = kept(c, b.SolutionParameters.StageSolutionUploadID, staged); raw == nil {
			return nil, wire.BadPayload("Neither 'CustomizationFile' nor 'SolutionParameters' names a solution.")
		}
	}
	return read(raw)
}

// kept is the content of a blob of that type, nil when there is none.
func kept(c change.Writer, id allod.GUID, mime string) (raw []byte) {
	c.Org.Store.View(func(tx *store.Tx) {
		if b := tx.Blob(id); b != nil && b.MIME == mime {
			var err error
			if raw, err = io.ReadAll(io.NewSectionReader(b, 0, b.Size)); err != nil {
				raw = nil
			}
		}
	})
	return raw
}

// importNow is ImportSolution.
func importNow(c change.Writer, reshape customize.Reshape, begin func() func() error) (map[string]any, error) {
	b, err := parse(c)
	if err != nil {
		return nil, err
	}
	p, err := b.of(c)
	if err != nil {
		return nil, err
	}
	warnings, err := apply(c, p, reshape, begin())
	if !b.ImportJobID.IsZero() {
		keep(c, b.ImportJobID, warnings, err)
	}
	return nil, err
}

// importLater is ImportSolutionAsync.
func importLater(c change.Writer, reshape customize.Reshape, begin func() func() error) (map[string]any, error) {
	b, err := parse(c)
	if err != nil {
		return nil, err
	}
	p, err := b.of(c)
	if err != nil {
		return nil, err
	}
	key := c.Org.NewID()
	operation, err := c.Job(platform.JobImport, "ImportSolutionAsync", func(c change.Writer, _ allod.GUID, _ time.Time) error {
		warnings, failed := apply(c, p, reshape, begin())
		keep(c, key, warnings, failed)
		return failed
	})
	return object{"AsyncOperationId": operation.String(), "ImportJobKey": key.String()}, err
}

// keep remembers how an import ended, for RetrieveSolutionImportResult.
func keep(c change.Writer, job allod.GUID, warnings []string, failed error) {
	list := func(texts []string) []object {
		out := []object{}
		for _, text := range texts {
			out = append(out, object{"Code": 0, "Message": text})
		}
		return out
	}
	status, problems := "Passed", []string{}
	if failed != nil {
		status, problems = "Failed", []string{wire.AsError(failed).Message}
	}
	text, err := json.Marshal(object{"SolutionOperationResult": object{"Type": "Import", "Status": status, "ErrorMessages": list(problems), "WarningMessages": list(warnings)}})
	if err == nil { // texts only
		c.Org.Store.InsertBlob(job, store.NewBlob("result", ended, text))
	}
}

// Result is RetrieveSolutionImportResult(ImportJobId=…).
func Result(c change.Writer, job allod.GUID) (map[string]any, error) {
	raw := kept(c, job, ended)
	var out object
	if raw == nil || json.Unmarshal(raw, &out) != nil {
		return nil, wire.NoRow("importjob", job.String())
	}
	return out, nil
}

// apply brings the package in: all of it, or nothing.
func apply(c change.Writer, p *pack, reshape customize.Reshape, undo func() error) ([]string, error) {
	list, warnings := p.definitions(c)
	err := func() error {
		for _, d := range list {
			if err := d.make(c, reshape); err != nil {
				return err
			}
		}
		return c.Update(func(a *platform.Act) error {
			i := &installer{Act: a, p: p, managed: p.Solution.Managed == "1", warnings: warnings}
			i.rows()
			warnings = i.warnings
			return nil
		})
	}()
	if err != nil {
		return warnings, errors.Join(err, undo())
	}
	return warnings, nil
}

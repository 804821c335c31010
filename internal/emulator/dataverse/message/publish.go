package message

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/draft"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// publishAll is PublishAllXml.
func publishAll(c change.Writer) (object, error) {
	return nil, c.Update(func(a *platform.Act) error {
		return draft.Publish(a.Tx, c.Schema.Model, func(*entity.Table, *store.Row) bool { return true })
	})
}

// parameter is what PublishXml is to publish (publish request schema): tables by name,
// everything else by id. Definitions of tables and choices are in force at once.
type parameter struct {
	Entities     []string `xml:"entities>entity"`
	WebResources []string `xml:"webresources>webresource"`
	Dashboards   []string `xml:"dashboards>dashboard"`
	AppModules   []string `xml:"appmodules>appmodule"`
	SiteMaps     []string `xml:"sitemaps>sitemap"`
}

// publish is PublishXml.
func publish(c change.Writer) (object, error) {
	m, err := members(c)
	if err != nil {
		return nil, err
	}
	var text string
	if json.Unmarshal(m["ParameterXml"], &text) != nil || text == "" {
		return nil, wire.BadPayload("The parameter 'ParameterXml' is missing.")
	}
	p, err := parse(text)
	if err != nil {
		return nil, wire.Refuse(400, "0x80040203", "ParameterXml is not well formed.")
	}
	return nil, c.Update(func(a *platform.Act) error {
		return draft.Publish(a.Tx, c.Schema.Model, func(t *entity.Table, r *store.Row) bool { return p.names(a.Tx, t, r) })
	})
}

func parse(text string) (p parameter, err error) {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return p, err
		}
	}
	return p, xml.Unmarshal([]byte(text), &p)
}

// names reports whether the row belongs to what is to be published.
func (p *parameter) names(tx *store.Tx, t *entity.Table, r *store.Row) bool {
	of := func(column string) bool {
		return slices.Contains(p.Entities, tx.Value(t.LogicalName, r, column).Text())
	}
	switch t.LogicalName {
	case "savedquery":
		return of("returnedtypecode")
	case "savedqueryvisualization":
		return of("primaryentitytypecode")
	case "systemform":
		return of("objecttypecode") || holds(p.Dashboards, r.Key)
	case "webresource":
		return holds(p.WebResources, r.Key)
	case "appmodule":
		return holds(p.AppModules, r.Key)
	case "sitemap":
		return holds(p.SiteMaps, r.Key)
	}
	return false
}

func holds(ids []string, id allod.GUID) bool {
	for _, text := range ids {
		if g, err := allod.ParseGUID(strings.Trim(strings.TrimSpace(text), "{}")); err == nil && g == id {
			return true
		}
	}
	return false
}

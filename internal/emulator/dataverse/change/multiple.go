package change

import (
	"encoding/json"
	"net/http"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/elastic"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
	"allod/internal/odata/query"
)

// Multiple answers CreateMultiple and its like (§6.10): of a standard table all
// rows or none, of an elastic one each row on its own.
func (c Writer) Multiple(t *entity.Table, name string) (*request.Reply, error) {
	switch name {
	case "CreateMultiple", "UpdateMultiple", "UpsertMultiple":
	case "DeleteMultiple":
		if !elastic.Is(t) && c.Org.Assume["delete-multiple"] != "allow" {
			return nil, wire.Refuse(http.StatusNotImplemented, "0x80040203", "DeleteMultiple has not yet been implemented.")
		}
	default:
		return nil, wire.NoSegment(name)
	}
	c.Count(name, t)
	payloads, err := c.targets(t)
	if err != nil {
		return nil, err
	}
	c.Charge(func(m *protect.Cost) time.Duration { return m.Multiple.Of(1) + m.MultipleIn.Of(len(payloads)) })
	var ids []allod.GUID
	var failed *wire.Error
	header := http.Header{}
	err = c.Update(func(a *platform.Act) error {
		if elastic.Is(t) {
			ids, failed = c.eachOfMany(a, t, name, payloads)
			if name != "DeleteMultiple" {
				header = sessionToken(a.Tx, t)
			}
			return nil
		}
		for _, p := range payloads {
			id, err := c.oneOfMany(a, t, name, p)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	if err == nil && failed != nil {
		return nil, failed
	}
	if err != nil || name != "CreateMultiple" {
		return &request.Reply{Status: http.StatusNoContent, Header: header}, err
	}
	b := append([]byte(`{"@odata.context":"`), c.Root...)
	b = append(b, `/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse","Ids":[`...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = odata.AppendGUID(b, id)
	}
	return &request.Reply{Status: http.StatusOK, Header: header, Body: append(b, "]}"...)}, nil
}

// targets reads the rows of the body; each must say its type.
func (c Writer) targets(t *entity.Table) ([]*wire.Payload, error) {
	var body struct{ Targets []json.RawMessage }
	if err := json.Unmarshal(c.Body, &body); err != nil || len(body.Targets) == 0 {
		return nil, wire.BadPayload("A property 'Targets' with at least one row was expected.")
	}
	payloads := make([]*wire.Payload, len(body.Targets))
	for i, raw := range body.Targets {
		p, err := wire.ParsePayload(c.Schema, t, raw)
		if err != nil {
			return nil, err
		}
		if p.Type != t.LogicalName {
			return nil, wire.BadPayload("Each target needs an '@odata.type' of the table.")
		}
		payloads[i] = p
	}
	return payloads, nil
}

// bulkDetail is what a failed message says of one row (§6.10; Use bulk
// operation messages).
type bulkDetail struct {
	RequestIndex int
	ID           string `json:"Id"`
	StatusCode   int
}

// eachOfMany writes row by row: what works stays, the error lists each row
// when one fails.
func (c Writer) eachOfMany(a *platform.Act, t *entity.Table, name string, payloads []*wire.Payload) ([]allod.GUID, *wire.Error) {
	var ids []allod.GUID
	var first *wire.Error
	details := make([]bulkDetail, len(payloads))
	for i, p := range payloads {
		point := a.Tx.Point()
		id, err := c.oneOfMany(a, t, name, p)
		details[i] = bulkDetail{i, id.String(), http.StatusOK}
		if err == nil {
			ids = append(ids, id)
			continue
		}
		a.Tx.Back(point)
		e := wire.AsError(err)
		details[i].StatusCode = e.Status
		if first == nil {
			first = wire.Refuse(http.StatusBadRequest, e.Code, "%s", e.Message)
		}
	}
	if first != nil {
		list, err := json.Marshal(details)
		if err != nil {
			panic("change: numbers and texts do not marshal: " + err.Error())
		}
		first.Details = map[string]string{"@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails": string(list)}
	}
	return ids, first
}

func (c Writer) oneOfMany(a *platform.Act, t *entity.Table, name string, p *wire.Payload) (allod.GUID, error) {
	if name == "CreateMultiple" {
		id, err := a.Create(t, allod.GUID{}, p)
		if err == nil {
			err = c.unique(a, t, id)
		}
		return id, err
	}
	id := p.Key
	if !p.HasKey && p.ID != "" {
		segs, err := query.Dialect{}.ParsePath(platform.Relative(p.ID))
		if err != nil || len(segs) != 1 {
			return id, wire.BadPayload("Invalid '@odata.id'.")
		}
		if id, err = a.Key(t, &segs[0]); err != nil && name != "UpsertMultiple" {
			return id, err
		} else if err != nil {
			keys, err := a.KeyValues(t, &segs[0])
			if err != nil {
				return id, err
			}
			p.Values = append(keys, p.Values...)
		}
	} else if !p.HasKey {
		return id, wire.BadPayload("Each target needs the primary key or '@odata.id'.")
	}
	r := a.Tx.Get(t.LogicalName, id)
	if r != nil && !inPartition(a, t, r, partitionOf(p)) {
		return id, wire.NoRow(t.LogicalName, id.String())
	}
	var err error
	switch {
	case name == "DeleteMultiple":
		return id, a.Delete(t, id)
	case name == "UpsertMultiple" && r == nil:
		id, err = a.Create(t, id, p)
	case name == "UpsertMultiple" && elastic.Is(t):
		err = a.Replace(t, id, p)
	default:
		err = a.Update(t, id, p)
	}
	if err == nil {
		err = c.unique(a, t, id)
	}
	return id, err
}

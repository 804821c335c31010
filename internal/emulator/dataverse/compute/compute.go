// Package compute answers the functions that only reckon: from rows, or from
// what is the same everywhere (Web API reference,
// data/dataverse/documented-http-samples.json).
package compute

import (
	"net/http"

	"allod"
	"allod/internal/emulator/dataverse/rows"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/emulator/dataverse/zone"
	"allod/internal/odata/query"
)

type object = map[string]any

// Function answers GET of a function; seg calls it, or is the row it is bound
// to.
type Function func(c rows.Reader, seg *query.Segment) (map[string]any, error)

// Functions are the unbound functions by name.
func Functions() map[string]Function {
	return map[string]Function{"GetTimeZoneCodeByLocalizedName": timeZone}
}

// Bound returns the function of the name that is bound to rows of the table,
// or nil.
func Bound(table, name string) Function {
	if table == "incident" && name == "CalculateTotalTimeIncident" {
		return totalTime
	}
	return nil
}

// timeZone finds the code of a time zone, also among timezonedefinitions.
func timeZone(c rows.Reader, seg *query.Segment) (object, error) {
	name, ok := c.Param(seg, "LocalizedStandardName").(*query.Literal)
	if !ok || name.Kind != query.LitString {
		return nil, wire.BadQuery("The parameter LocalizedStandardName is missing.")
	}
	if locale, ok := c.Param(seg, "LocaleId").(*query.Literal); !ok || locale.Kind != query.LitNumber {
		return nil, wire.BadQuery("The parameter LocaleId is missing.")
	}
	code, known := zone.Code(name.Text)
	err := c.View(func(tx *store.Tx) error {
		for _, id := range tx.Find("timezonedefinition", "standardname", allod.StringValue(name.Text)) {
			code, known = tx.Value("timezonedefinition", tx.Get("timezonedefinition", id), "timezonecode").Int(), true
		}
		return nil
	})
	if err == nil && !known {
		err = wire.Refuse(http.StatusNotFound, "0x80040217", "The time zone was not found.")
	}
	return object{"TimeZoneCode": code}, err
}

// totalTime adds up the minutes of the completed activities of a case; its
// resolution counts as none.
func totalTime(c rows.Reader, seg *query.Segment) (object, error) {
	var total int64
	err := c.View(func(tx *store.Tx) error {
		e, err := c.Find(tx, c.Schema.Model.Table("incident"), seg)
		if err != nil {
			return err
		}
		for _, t := range c.Schema.Derived("activitypointer") {
			if t.LogicalName == "incidentresolution" {
				continue
			}
			for _, id := range tx.Find(t.LogicalName, "regardingobjectid", allod.IDValue(e.Row.Key)) {
				r := tx.Get(t.LogicalName, id)
				if tx.Value(t.LogicalName, r, "statecode").Int() == 1 {
					total += tx.Value(t.LogicalName, r, "actualdurationminutes").Int()
				}
			}
		}
		return nil
	})
	return object{"TotalTime": total}, err
}

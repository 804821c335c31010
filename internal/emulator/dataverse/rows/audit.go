package rows

import (
	"net/http"

	"allod/internal/emulator/dataverse/fetch"
	"allod/internal/emulator/dataverse/wire"
)

// audits is the table of the history, whose queries are limited
// (protocols/dataverse.md §10.1).
const audits = "audit"

// joinsAudit refuses a query over the history with more than one link, or with
// one to another table than users. The code is assumed.
func joinsAudit(q *fetch.Query) error {
	if q.Root.Name != audits {
		return nil
	}
	links := linked(q.Root.Links, q.Root.Filters)
	if len(links) > 1 {
		return wire.Refuse(http.StatusBadRequest, "0x80040203", "The audit entity supports only one link entity in a query.")
	}
	for _, l := range links {
		if l.Name != "systemuser" {
			return wire.Refuse(http.StatusBadRequest, "0x80040203", "The audit entity cannot be joined with the entity '%s'.", l.Name)
		}
	}
	return nil
}

// linked are the links, those below them and those in the filters.
func linked(links []*fetch.Entity, filters []fetch.Filter) []*fetch.Entity {
	var out []*fetch.Entity
	for _, l := range links {
		out = append(append(out, l), linked(l.Links, l.Filters)...)
	}
	for _, f := range filters {
		out = append(out, linked(f.Links, f.Filters)...)
	}
	return out
}

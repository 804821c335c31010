package rows

import (
	"net/http"

	"allod/internal/emulator/dataverse/draft"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/odata/query"
)

// Unpublished answers RetrieveUnpublished, bound to a row: as it is after changes that
// are not published yet (§11.2).
func (c Reader) Unpublished(t *entity.Table, seg *query.Segment) (*request.Reply, error) {
	c.Count("RetrieveUnpublished", t)
	var out *request.Reply
	err := c.View(func(tx *store.Tx) error {
		e, err := c.Find(tx, t, seg)
		if err != nil {
			return err
		}
		d, err := draft.Get(tx, t, e.Row.Key)
		if err != nil {
			return err
		}
		if d != nil {
			e.Row = d
		}
		body, width, err := c.Render(tx, t, e)
		c.served(t, 1, width)
		out = &request.Reply{Status: http.StatusOK, Body: body}
		return err
	})
	return out, err
}

// UnpublishedRows answers RetrieveUnpublishedMultiple, bound to a set.
func (c Reader) UnpublishedRows(t *entity.Table) (*request.Reply, error) {
	c.Count("RetrieveUnpublishedMultiple", t)
	if err := c.supported(t); err != nil {
		return nil, err
	}
	var out *request.Reply
	err := c.View(func(tx *store.Tx) error {
		var list []Entity
		for _, r := range tx.Page(t.LogicalName, nil, tx.Len(t.LogicalName)) {
			d, err := draft.Get(tx, t, r.Key)
			if err != nil {
				return err
			}
			if d != nil {
				r = d
			}
			list = append(list, Entity{t, r})
		}
		var err error
		out, err = c.listRows(tx, t, fixed(list))
		return err
	})
	return out, err
}

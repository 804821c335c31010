package change

import (
	"net/http"
	"strconv"
	"strings"

	"allod/internal/emulator/dataverse/duplicate"
	"allod/internal/emulator/dataverse/elastic"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"

	"allod"
)

// partition is the partition a request names: as a part of the key or as the
// option partitionId; "" = none (§4.8).
func (c Writer) partition(seg *query.Segment) string {
	for _, a := range seg.Args {
		if lit, ok := a.Value.(*query.Literal); ok && a.Name == "partitionid" {
			return lit.Text
		}
	}
	for _, o := range c.Req.Options.Custom {
		if strings.EqualFold(o.Name, "partitionId") {
			return o.Value
		}
	}
	return ""
}

func partitionOf(p *wire.Payload) string {
	for _, v := range p.Values {
		if v.Column.LogicalName == "partitionid" {
			return v.Value.Text()
		}
	}
	return ""
}

// inPartition reports whether the row is in the partition; a request that
// names none takes it from any.
func inPartition(a *platform.Act, t *entity.Table, r *store.Row, name string) bool {
	return !elastic.Is(t) || name == "" || r == nil || a.Tx.Value(t.LogicalName, r, "partitionid").Text() == name
}

// sessionToken is what a write to an elastic table returns for reading one's
// own writes (Use elastic tables using code).
func sessionToken(tx *store.Tx, t *entity.Table) http.Header {
	h := http.Header{}
	if elastic.Is(t) {
		h.Set("x-ms-session-token", "0:-1#"+strconv.FormatUint(tx.Version(), 10))
	}
	return h
}

// unique refuses a row that a published rule calls a duplicate, where the
// client asks for the detection: it is off by default on the Web API (§6.9).
func (c Writer) unique(a *platform.Act, t *entity.Table, id allod.GUID) error {
	if !strings.EqualFold(c.Header.Get("MSCRM.SuppressDuplicateDetection"), "false") || !duplicate.Found(a.Tx, c.Schema.Model, t, id) {
		return nil
	}
	return wire.Refuse(c.Org.Number("duplicate-status"), "0x80040333", "A record was not created or updated because a duplicate of the current record already exists.")
}

// Expire removes rows of an elastic table that have come to their end; it is
// called before a request looks at the table.
func (c Writer) Expire(t *entity.Table) error {
	var ended []allod.GUID
	err := c.View(func(tx *store.Tx) error {
		ended = elastic.Ended(tx, t, c.Org.Now())
		return nil
	})
	if err != nil || len(ended) == 0 {
		return err
	}
	return c.Update(func(a *platform.Act) error {
		elastic.Remove(a.Tx, t, ended)
		return nil
	})
}

package rows

import (
	"encoding/json"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/duplicate"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// Duplicates answers the function RetrieveDuplicates: the rows of a table that
// published rules call duplicates of a row, which need not be stored (Run
// duplicate detection; Web API reference).
func (c Reader) Duplicates() (*request.Reply, error) {
	c.Count("RetrieveDuplicates", nil)
	seg := &c.Req.Path[0]
	like := request.JSON(c.Param(seg, "BusinessEntity"))
	var named map[string]json.RawMessage
	var typ string
	if json.Unmarshal(like, &named) != nil || json.Unmarshal(named["@odata.type"], &typ) != nil {
		return nil, wire.BadQuery("The parameter BusinessEntity is no row with its @odata.type.")
	}
	t := c.Schema.Model.Table(typ[strings.LastIndexByte(typ, '.')+1:])
	name, ok := c.Param(seg, "MatchingEntityName").(*query.Literal)
	if t == nil || !ok || c.Schema.Model.Table(name.Text) == nil {
		return nil, wire.BadQuery("A table of RetrieveDuplicates does not exist.")
	}
	match := c.Schema.Model.Table(name.Text)
	p, err := wire.ParsePayload(c.Schema, t, like)
	if err != nil {
		return nil, err
	}
	var page struct{ PageNumber, Count int }
	if info := request.JSON(c.Param(seg, "PagingInfo")); info != nil && json.Unmarshal(info, &page) != nil || page.PageNumber < 0 || page.Count < 0 {
		return nil, wire.BadQuery("The parameter PagingInfo has no numbers.")
	}
	var out *request.Reply
	err = c.View(func(tx *store.Tx) error {
		row := tx.Get(t.LogicalName, p.Key)
		found := duplicate.Of(tx, c.Schema.Model, t, p.Key, func(column string) allod.Value {
			for _, a := range p.Values {
				if a.Column.LogicalName == column {
					return a.Value
				}
			}
			if row == nil {
				return allod.NullValue()
			}
			return tx.Value(t.LogicalName, row, column)
		}, match.LogicalName)
		list := make([]Entity, len(found))
		for i, r := range found {
			list[i] = Entity{match, r}
		}
		byKey(list)
		if page.Count > 0 {
			from := min(max(page.PageNumber-1, 0)*page.Count, len(list))
			list = list[from:min(from+page.Count, len(list))]
		}
		var err error
		out, err = c.listRows(tx, match, fixed(list))
		return err
	})
	return out, err
}

package message

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/audit"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// mayReadHistory asks for the privileges of the three functions (Retrieve the
// history of audited data changes).
func mayReadHistory(c change.Writer) error {
	return access.Need(c.User, "prvReadRecordAuditHistory", "prvReadAuditSummary")
}

// auditDetails is RetrieveAuditDetails (§10.2).
func auditDetails(c change.Writer, seg *query.Segment) (object, error) {
	if err := mayReadHistory(c); err != nil {
		return nil, err
	}
	var out object
	err := c.View(func(tx *store.Tx) error {
		t := c.Schema.Model.Table(audit.Table)
		e, err := c.Find(tx, t, seg)
		if err == nil {
			out = object{"AuditDetail": detail(c, tx, e.Row, "")}
		}
		return err
	})
	return out, err
}

func detail(c change.Writer, tx *store.Tx, r *store.Row, column string) object {
	t := c.Schema.Model.Table(tx.Value(audit.Table, r, "objecttypecode").Text())
	if t == nil {
		return audit.Detail(tx, c.Schema, r, column, c.Prefer.Notes, nil)
	}
	return audit.Detail(tx, c.Schema, r, column, c.Prefer.Notes, access.Hidden(tx, c.User, t))
}

// recordHistory is RetrieveRecordChangeHistory (§10.2).
func recordHistory(c change.Writer, _ *query.Segment) (object, error) { return history(c, "") }

// attributeHistory is RetrieveAttributeChangeHistory (§10.2).
func attributeHistory(c change.Writer, _ *query.Segment) (object, error) {
	var column string
	if json.Unmarshal(param(c, "AttributeLogicalName"), &column) != nil || column == "" {
		return nil, wire.BadPayload("A parameter 'AttributeLogicalName' was expected.")
	}
	return history(c, column)
}

// paging is PagingInfo. Pages count from 1; a cookie wins over the number.
type paging struct {
	PageNumber             int
	Count                  int
	ReturnTotalRecordCount bool
	PagingCookie           string
}

var cookiePage = regexp.MustCompile(`^<cookie page="(\d{1,6})"/>$`)

func pagingOf(c change.Writer) (paging, error) {
	p := paging{PageNumber: 1, Count: 5000}
	if raw := param(c, "PagingInfo"); raw != nil && json.Unmarshal(raw, &p) != nil {
		return p, wire.BadPayload("The parameter 'PagingInfo' is invalid.")
	}
	if m := cookiePage.FindStringSubmatch(p.PagingCookie); m != nil {
		n, _ := strconv.Atoi(m[1]) // at most six digits
		p.PageNumber = n + 1
	}
	if p.PageNumber < 1 || p.PageNumber > 1_000_000 || p.Count < 0 {
		return p, wire.Refuse(http.StatusBadRequest, "0x80040203", "The page number or count is out of range.")
	}
	if p.Count == 0 || p.Count > 5000 {
		p.Count = 5000
	}
	return p, nil
}

func history(c change.Writer, column string) (object, error) {
	if err := mayReadHistory(c); err != nil {
		return nil, err
	}
	p, err := pagingOf(c)
	if err != nil {
		return nil, err
	}
	var out object
	err = c.View(func(tx *store.Tx) error {
		t, id, err := row(c, c.Act(tx), param(c, "Target"), "Target")
		if err != nil {
			return err
		}
		see, err := access.Reading(tx, c.User, t, c.Org.Unit)
		if err != nil {
			return err
		}
		if r := tx.Get(t.LogicalName, id); r != nil && see != nil && !see(r) {
			return wire.Refuse(http.StatusForbidden, "0x80048306", "Principal with id %v does not have ReadAccess right(s) for record with id %v of entity %s", c.User.User, id, t.LogicalName)
		}
		all := audit.Of(tx, id, column)
		from := min(len(all), (p.PageNumber-1)*p.Count)
		to := min(len(all), from+p.Count)
		details := []any{}
		for _, r := range all[from:to] {
			details = append(details, detail(c, tx, r, column))
		}
		total, cookie := -1, ""
		if p.ReturnTotalRecordCount {
			total = len(all)
		}
		if to < len(all) {
			cookie = `<cookie page="` + strconv.Itoa(p.PageNumber) + `"/>`
		}
		out = object{"AuditDetailCollection": object{
			"MoreRecords": to < len(all), "PagingCookie": cookie, "TotalRecordCount": total, "AuditDetails": details,
		}}
		return nil
	})
	return out, err
}

// deleteHistory is DeleteRecordChangeHistory (§10.3).
func deleteHistory(c change.Writer) (object, error) {
	if err := access.Need(c.User, "prvDeleteRecordChangeHistory"); err != nil {
		return nil, err
	}
	m, err := members(c)
	if err != nil {
		return nil, err
	}
	n := 0
	err = c.Update(func(a *platform.Act) error {
		_, id, err := row(c, a, m["Target"], "Target")
		if err != nil {
			return err
		}
		if a.Tx.Has(audit.Table) {
			n = audit.Erase(a.Tx, id)
		}
		return nil
	})
	return object{"DeletedEntriesCount": n}, err
}

// deleteAuditData is DeleteAuditData (§10.3): on the older partition model it
// answers the partitions removed, here one, or that there are none.
func deleteAuditData(c change.Writer) (object, error) {
	if err := access.Need(c.User, "prvDeleteAuditPartitions"); err != nil {
		return nil, err
	}
	m, err := members(c)
	if err != nil {
		return nil, err
	}
	var text string
	if json.Unmarshal(m["EndDate"], &text) != nil {
		return nil, wire.BadPayload("A property 'EndDate' was expected.")
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, wire.BadPayload("The value of 'EndDate' is no moment.")
	}
	n := 0
	err = c.Update(func(a *platform.Act) error {
		if a.Tx.Has(audit.Table) {
			n = audit.EraseBefore(a.Tx, wire.Stamp(at))
		}
		return nil
	})
	if err == nil && n == 0 {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "There are no partitions ending before the given date.")
	}
	return object{"PartitionsDeleted": 1}, err
}

package rows

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
)

const (
	tokenTime = "01/02/2006 15:04:05"
	tokenLife = 7 * 24 * time.Hour // ExpireChangeTrackingInDays (protocols/dataverse.md §5.2)
)

// parseDeltaToken reads version!date and refuses a token older than seven
// days.
func (c Reader) parseDeltaToken(text string) (since uint64, err error) {
	version, date, ok := strings.Cut(text, "!")
	since, err = strconv.ParseUint(version, 10, 64)
	at, timeErr := time.Parse(tokenTime, date)
	if !ok || err != nil || timeErr != nil {
		return 0, wire.Refuse(http.StatusBadRequest, "0x80060888", "The delta token is not valid.")
	}
	floor := c.Org.DeltaFloor.Load()
	stale := floor > 0 && since > floor && c.Org.Assume["clear-delta-on-rewind"] == "true"
	if c.Org.Now().UTC().Sub(at) > tokenLife || stale {
		return 0, wire.Refuse(c.Org.Number("delta-expired-status"), c.Org.Assume["delta-expired-code"], "Version stamp associated with the client has expired. Please perform a full sync.")
	}
	return since, nil
}

func (c Reader) trackable(tx *store.Tx, t *entity.Table) error {
	for _, name := range []string{"$filter", "$orderby", "$expand", "$top"} {
		if c.Req.Options.Has(name) {
			return wire.BadQuery("The \"%s\" query parameter isn't supported when Change Tracking is enabled.", name)
		}
	}
	if !t.ChangeTracking || t.Intersect && c.Org.Assume["track-intersect"] != "true" {
		return wire.BadQuery("Entity: %s isn't enabled for change tracking.", t.LogicalName)
	}
	if _, err := access.Reading(tx, c.User, t, c.Org.Unit); err != nil {
		return err
	}
	if d := c.User.ReadDepth(t); d != access.DepthGlobal {
		return access.Denied(c.User, access.Privilege("Read", t)) // organisation-wide Read is required (§5.2)
	}
	return nil
}

// delta answers a tracked read: all rows by version without a token, else what
// changed since, then what was deleted (§5). The token it ends with is the
// version at which the first page was read; what changes while pages are
// fetched comes with the next one.
func (c Reader) delta(t *entity.Table) (*request.Reply, error) {
	var out *request.Reply
	err := c.View(func(tx *store.Tx) error {
		if err := c.trackable(tx, t); err != nil {
			return err
		}
		k, err := c.deltaStart(tx)
		if err != nil {
			return err
		}
		out, err = c.deltaPage(tx, t, k)
		return err
	})
	return out, err
}

// deltaStart finds where the read stands: at its first page or in the middle.
func (c Reader) deltaStart(tx *store.Tx) (*cookie, error) {
	if tok := c.Req.Options.SkipToken; tok != "" {
		k, err := parseCookie(tok)
		if err == nil && k.until == 0 {
			err = wire.BadQuery("Malformed XML in the Paging Cookie.")
		}
		return k, err
	}
	k := &cookie{page: 1, until: max(tx.Version(), 1)}
	if tok := c.Req.Options.DeltaToken; tok != "" {
		since, err := c.parseDeltaToken(tok)
		if err != nil {
			return nil, err
		}
		k.since, k.at = since, since
	}
	return k, nil
}

func (c Reader) deltaPage(tx *store.Tx, t *entity.Table, k *cookie) (*request.Reply, error) {
	size := c.pageSize(t)
	p, err := c.plansFor(tx, t, c.Req.Options, true)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 1024+min(size, 5000)*p.estimate()/4)
	b = append(b, `{"@odata.context":"`...)
	b = odata.AppendContext(b, c.Root, t.SetName, c.contextColumns(), odata.FormDelta)
	b = append(b, `","value":[`...)
	n, more := 0, false
	if !k.deletes {
		rows := tx.Changed(t.LogicalName, k.at, k.until, size+1)
		if len(rows) > size {
			rows, more = rows[:size], true
		}
		for _, r := range rows {
			if n > 0 {
				b = append(b, ',')
			}
			if b, err = p.appendRow(append(b, '{'), Entity{t, r}); err != nil {
				return nil, err
			}
			b = append(b, '}')
			k.at = r.Version
			n++
		}
	}
	if !more && k.since > 0 {
		if !k.deletes {
			k.deletes, k.at = true, k.since
		}
		gone := tx.Deleted(t.LogicalName, k.at, k.until, size-n+1)
		if len(gone) > size-n {
			gone, more = gone[:size-n], true
		}
		for _, d := range gone {
			if n > 0 {
				b = append(b, ',')
			}
			b = c.appendDeleted(b, t, d.Key)
			k.at = d.Version
			n++
		}
	}
	b = append(b, ']')
	if more {
		k.page++
		k.tracking = c.Org.Assume["tracking-cookie"]
		b = append(b, `,"@odata.nextLink":`...)
		b = odata.AppendString(b, c.nextURL(k.encode()))
	} else {
		token := utoa(k.until) + "!" + c.Org.Now().UTC().Format(tokenTime)
		b = append(b, `,"@odata.deltaLink":`...)
		b = odata.AppendString(b, c.withOption("$deltatoken", lowerEscape(token), "$deltatoken", "$skiptoken"))
	}
	c.served(t, n, p.width())
	return &request.Reply{Status: http.StatusOK, Body: append(b, '}')}, nil
}

func (c Reader) appendDeleted(b []byte, t *entity.Table, id allod.GUID) []byte {
	b = append(b, `{"@odata.context":"`...)
	b = odata.AppendContext(b, c.Root, t.SetName, "", odata.FormDeleted)
	b = append(b, `","id":`...)
	b = odata.AppendGUID(b, id)
	return append(b, `,"reason":"deleted"}`...)
}

func (c Reader) countChanges(tx *store.Tx, t *entity.Table) (int, error) {
	if err := c.trackable(tx, t); err != nil {
		return 0, err
	}
	since, err := c.parseDeltaToken(c.Req.Options.DeltaToken)
	if err != nil {
		return 0, err
	}
	const cap = 5001
	n := len(tx.Changed(t.LogicalName, since, tx.Version(), cap))
	return n + len(tx.Deleted(t.LogicalName, since, tx.Version(), cap)), nil
}

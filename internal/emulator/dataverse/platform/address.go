package platform

import (
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
)

// addresses keeps the rows that hold the address1_ and address2_ columns of
// accounts, contacts and leads, of leads in leadaddress, of the others in
// customeraddress: creating the parent makes both, changing the columns changes
// them. This is the only place that knows.
func (a *Act) addresses(t *entity.Table, id allod.GUID, p *wire.Payload, create bool) error {
	name := map[string]string{"account": "customeraddress", "contact": "customeraddress", "lead": "leadaddress"}[t.LogicalName]
	addr := a.Schema.Model.Table(name)
	if addr == nil || !a.Tx.Has(name) {
		return nil
	}
	parent := a.load(a.Tx.Get(t.LogicalName, id))
	linked := false
	for n := 1; n <= 2; n++ {
		prefix := "address" + strconv.Itoa(n) + "_"
		if !create && !touches(p, prefix) {
			continue
		}
		key := a.get(t, parent, prefix+"addressid").GUID()
		r := row{}
		if old := a.Tx.Get(name, key); old != nil {
			r = a.load(old)
			a.stampChanged(addr, r)
		} else {
			if key.IsZero() {
				key = a.NewID()
			}
			a.stampNew(addr, r)
			a.set(addr, r, "parentid", allod.LookupValue(t.LogicalName, id))
			a.set(addr, r, "objecttypecode", allod.StringValue(t.LogicalName))
			a.set(addr, r, "addressnumber", allod.IntegerValue(int64(n)))
			a.set(t, parent, prefix+"addressid", allod.IDValue(key))
			linked = true
		}
		for _, c := range addr.Columns {
			if t.Column(prefix+c.LogicalName) != nil && !strings.HasSuffix(c.LogicalName, "addressid") {
				a.set(addr, r, c.LogicalName, a.get(t, parent, prefix+c.LogicalName))
			}
		}
		a.put(addr, key, r)
	}
	if linked {
		a.put(t, id, parent)
	}
	return nil
}

func touches(p *wire.Payload, prefix string) bool {
	for _, v := range p.Values {
		if strings.HasPrefix(v.Column.LogicalName, prefix) {
			return true
		}
	}
	return false
}

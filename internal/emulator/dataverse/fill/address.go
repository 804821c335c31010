package fill

import (
	"math/rand/v2"
	"strconv"
	"strings"

	"allod"
)

// addressTable holds the addresses of a table that has some, "" for others.
func addressTable(of string) string {
	switch of {
	case "account", "contact":
		return "customeraddress"
	case "lead":
		return "leadaddress"
	}
	return ""
}

// addresses adds the rows that stand behind the address1_ and address2_ columns
// of accounts, contacts and leads, which are parts of those rows
// (protocols/dataverse.md §6.12).
func (r *row) addresses(key allod.GUID) error {
	t := r.p.t
	q := r.f.plans[addressTable(t.LogicalName)]
	if q == nil {
		return nil
	}
	for n := 1; n <= 2; n++ {
		prefix := "address" + strconv.Itoa(n) + "_"
		id := r.get(prefix + "addressid")
		if id.Type() != allod.ID {
			continue
		}
		a := &row{f: r.f, p: q, i: r.i, vals: make([]allod.Value, len(q.cols)), rng: rand.New(rand.NewPCG(r.f.o.Seed^hash(prefix), uint64(r.i)))}
		a.stamps()
		for _, name := range []string{"createdon", "createdby", "modifiedon", "modifiedby"} {
			a.set(name, r.get(name))
		}
		for k := range q.cols {
			if name := q.cols[k].c.LogicalName; !strings.HasSuffix(name, "addressid") {
				if v := r.get(prefix + name); !v.IsAbsent() {
					if limit := q.cols[k].c.MaxLength; v.Type() == allod.String && limit > 0 {
						v = allod.StringValue(clip(v.Text(), limit))
					}
					a.vals[k] = v
				}
			}
		}
		a.set("parentid", allod.LookupValue(t.LogicalName, key))
		a.setTable("objecttypecode", t.LogicalName)
		a.set("addressnumber", allod.IntegerValue(int64(n)))
		if err := a.insert(id.GUID()); err != nil {
			return err
		}
	}
	return nil
}

// ownAddresses gives accounts, contacts and leads the ids of their address rows.
// Large tables go without, since most of the memory would go to addresses.
func (r *row) ownAddresses() {
	switch r.p.t.LogicalName {
	case "account", "contact", "lead":
		if r.p.count > large && r.kind() == usualRow {
			for n := 1; n <= 2; n++ {
				r.set("address"+strconv.Itoa(n)+"_addressid", allod.NullValue())
			}
			return
		}
		for n := 1; n <= 2; n++ {
			prefix := "address" + strconv.Itoa(n) + "_"
			r.set(prefix+"addressid", allod.IDValue(ID(r.f.o.Seed, r.p.t.LogicalName+"."+prefix, r.i)))
		}
	case "customeraddress", "leadaddress": // 1 and 2 are those inside the parent's own columns
		r.set("addressnumber", allod.IntegerValue(int64(3+r.i%5)))
	}
}

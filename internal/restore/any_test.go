package restore

import (
	"slices"
	"testing"

	"allod"
	"allod/internal/restore/apply"

	"pgregory.net/rapid"
)

// Any graph of records comes back whole from an empty environment.
func TestAnyGraphComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src, dst := newOrg("src"), newOrg("dst")
		dst.closes = rapid.SampledFrom([]string{"", "given id"}).Draw(t, "closes")
		randomOrg(t, src)
		o := loopback()
		p := build(t, src, dst, Selection{All: true}, o)
		r := run(t, p, src, dst, apply.Options{Batch: rapid.IntRange(1, 7).Draw(t, "batch"), Parallel: rapid.IntRange(1, 3).Draw(t, "parallel")})
		if r.Err() != nil {
			t.Fatalf("%v: %+v", r.Err(), r.Failures)
		}
		mustEqual(t, src, dst)
		if again := build(t, src, dst, Selection{All: true}, o); !again.Empty() {
			t.Fatalf("second plan has steps: %+v", slices.Collect(again.Steps()))
		}
		// And after somebody has damaged it.
		for _, id := range dst.ids("contact") {
			if rapid.Bool().Draw(t, "damage") {
				dst.touch("contact", id, "name", str("damaged"))
			}
		}
		r = run(t, build(t, src, dst, Selection{All: true}, o), src, dst, apply.Options{})
		if r.Err() != nil {
			t.Fatalf("%v: %+v", r.Err(), r.Failures)
		}
		mustEqual(t, src, dst)
	})
}

func randomOrg(t *rapid.T, o *org) {
	n := func(name string, hi int) int { return rapid.IntRange(0, hi).Draw(t, name) }
	na, nc := 1+n("accounts", 5), 1+n("contacts", 5)
	oneOf := func(name string, tables ...string) allod.Value {
		switch tbl := rapid.SampledFrom(append(tables, "")).Draw(t, name); tbl {
		case "account":
			return ref("account", gid("account", n("which", na-1)))
		case "contact":
			return ref("contact", gid("contact", n("which", nc-1)))
		default:
			return allod.NullValue()
		}
	}
	state := func(c cells, tbl string) cells {
		s := rapid.SampledFrom(o.schema.Table(tbl).Column("statuscode").Options).Draw(t, "status")
		if tbl == "email" && s.Value >= 6 && s.Value <= 7 {
			return c
		}
		c["statecode"], c["statuscode"] = num(s.State), num(s.Value)
		return c
	}
	for i := range na {
		id, addr := gid("account", i), gid("address", i)
		o.put("account", id, state(cells{"parentaccountid": oneOf("parent", "account"), "primarycontactid": oneOf("primary", "contact"), "address1_addressid": allod.IDValue(addr)}, "account"))
		o.put("customeraddress", addr, cells{"parentid": ref("account", id), "addressnumber": num(1)})
		if rapid.Bool().Draw(t, "image") {
			o.file("account", id, "entityimage", rapid.String().Draw(t, "bytes"), rapid.Bool().Draw(t, "digest"))
		}
	}
	for i := range nc {
		o.put("contact", gid("contact", i), state(cells{"name": str(rapid.String().Draw(t, "name")), "parentcustomerid": oneOf("customer", "account", "contact")}, "contact"))
	}
	for i := range n("cases", 3) {
		c := state(cells{"customerid": ref("account", gid("account", n("customer", na-1)))}, "incident")
		o.put("incident", gid("case", i), c)
		if c["statecode"].Int() == 1 {
			o.put("incidentresolution", gid("resolution of", i), cells{"incidentid": ref("incident", gid("case", i)), "statecode": num(1), "statuscode": num(2)})
		}
		o.put("task", gid("task", i), state(cells{"regardingobjectid": ref("incident", gid("case", i))}, "task"))
	}
	for i := range n("emails", 3) {
		o.put("email", gid("email", i), state(cells{"regardingobjectid": oneOf("regarding", "account")}, "email"))
		for j := range n("parties", 3) {
			o.put("activityparty", gid("party", 10*i+j), cells{
				"activityid": ref("email", gid("email", i)), "participationtypemask": num(int64(n("mask", 2))),
				"partyid": oneOf("who", "account", "contact"), "addressused": str("a@b"),
			})
		}
	}
	for range n("pairs", 6) {
		o.pair("accountleads", gid("account", n("end", na-1)), gid("contact", n("end", nc-1)))
	}
}

package sample

import (
	"fmt"
	"strconv"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/fill"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/sampleorg"
)

// adopt takes over rows that are there already.
func (l *loader) adopt(table string) allod.GUID {
	l.s.View(func(tx *store.Tx) {
		for _, r := range tx.Page(table, nil, 100) {
			l.made[table] = append(l.made[table], r.Key)
		}
	})
	if len(l.made[table]) == 0 {
		return allod.GUID{}
	}
	return l.made[table][0]
}

// organisation makes units, currencies, territories and security.
func (l *loader) organisation() {
	if l.adopt("organization").IsZero() {
		l.add("organization", values{"name": sampleorg.Name, "languagecode": 1033, "maxuploadfilesize": 5242880, "expirechangetrackingindays": 7, "expiresubscriptionsindays": 90})
	}
	l.unit = l.adopt("businessunit")
	if l.unit.IsZero() {
		l.unit = l.add("businessunit", values{"name": sampleorg.Name}).id
	}
	l.currency = l.adopt("transactioncurrency")
	if l.currency.IsZero() {
		l.currency = l.add("transactioncurrency", values{"currencyname": "Euro", "isocurrencycode": "EUR", "currencysymbol": "€", "currencyprecision": 2, "exchangerate": "1.000000000000"}).id
	}
	l.add("transactioncurrency", values{"currencyname": "Swiss Franc", "isocurrencycode": "CHF", "currencysymbol": "CHF", "currencyprecision": 2, "exchangerate": "0.500000000000"})
	for _, name := range []string{"Sales", "Customer Service", "Marketing", "Field Service"} {
		l.add("businessunit", values{"name": name, "parentbusinessunitid": ref{"businessunit", l.unit}})
	}
	for _, name := range []string{"Alps", "Danube", "Atlantic Coast", "Online"} {
		l.add("territory", values{"name": name, "description": "Sales territory " + name})
	}
	for _, name := range []string{"System Administrator", "Salesperson", "Customer Service Representative", "Marketing Professional", "Field Service Dispatcher"} {
		l.add("role", values{"name": name, "businessunitid": ref{"businessunit", l.unit}, "componentstate": 0, "ismanaged": true})
	}
	for _, table := range []string{"account", "contact", "incident", "alp_loyaltycard"} {
		for _, verb := range []string{"Create", "Read", "Write", "Delete"} {
			l.privilege(l.m.Table(table), verb)
		}
	}
	profile := l.add("fieldsecurityprofile", values{"name": "Identity documents", "description": "Who may see identity numbers and secret questions."})
	for table, column := range map[string]string{"contact": "governmentid"} {
		l.add("fieldpermission", values{"attributelogicalname": column, "entityname": table, "fieldsecurityprofileid": profile, "canread": 4, "cancreate": 4, "canupdate": 4})
	}
	l.add("fieldpermission", values{"attributelogicalname": "alp_secretquestion", "entityname": "alp_loyaltycard", "fieldsecurityprofileid": profile, "canread": 4, "cancreate": 0, "canupdate": 0})
}

// privilege makes the row of one privilege of a table.
func (l *loader) privilege(t *entity.Table, verb string) {
	right := 0
	for _, r := range access.Rights() {
		if r.Name == verb+"Access" {
			right = int(r.Bit)
		}
	}
	l.insert(l.m.Table("privilege"), t.PrivilegeID(verb), values{
		"name": t.Privilege(verb), "accessright": right, "canbebasic": t.Ownership == 1, "canbedeep": t.Ownership != 8, "canbeglobal": true, "canbelocal": t.Ownership != 8,
	})
}

// privileges makes the rows of all others there are: of tables, and those that
// belong to no table. They come last and take no part in any story.
func (l *loader) privileges() {
	made := map[string]bool{}
	l.s.View(func(tx *store.Tx) {
		for _, r := range tx.Page("privilege", nil, tx.Len("privilege")) {
			made[tx.Value("privilege", r, "name").Text()] = true
		}
	})
	for _, t := range l.m.Tables {
		if t.Intersect || t.Ownership == 0 || !t.Defined() {
			continue
		}
		verbs := []string{"Create", "Read", "Write", "Delete", "Append", "AppendTo"}
		if t.Ownership == 1 {
			verbs = append(verbs, "Assign", "Share")
		}
		for _, verb := range verbs {
			if name := t.Privilege(verb); !made[name] {
				made[name] = true
				l.privilege(t, verb)
			}
		}
	}
	for _, name := range access.Miscellaneous() {
		l.insert(l.m.Table("privilege"), access.NamedID(name), values{"name": name, "accessright": 0, "canbebasic": false, "canbedeep": false, "canbeglobal": true, "canbelocal": false})
	}
}

// employees gives all who work there a role with which they read what there is
// and write the rows of the business. It is theirs and not their teams', so that
// an application user has no more than it was given.
func (l *loader) employees() {
	role := l.add("role", values{"name": "Employee", "businessunitid": ref{"businessunit", l.unit}, "componentstate": 0, "ismanaged": true})
	done := map[string]bool{}
	for _, t := range l.m.Tables {
		if t.Intersect || t.Ownership == 0 || !t.Defined() || t.LogicalName == "audit" || done[t.Privilege("Read")] {
			continue
		}
		done[t.Privilege("Read")] = true
		verbs := []string{"Read", "Append", "AppendTo"}
		if t.Ownership == 1 {
			verbs = append(verbs, "Create", "Write", "Delete", "Assign", "Share")
		}
		switch t.LogicalName {
		case "activityparty", "competitor", "customeraddress", "invoicedetail", "opportunityproduct", "quotedetail", "salesorderdetail":
			verbs = append(verbs, "Create", "Write", "Delete")
		}
		for _, verb := range verbs {
			l.add("roleprivileges", values{"roleid": role, "privilegeid": ref{"privilege", t.PrivilegeID(verb)}, "privilegedepthmask": 8})
		}
	}
	for _, user := range l.staff {
		l.add("systemuserroles", values{"systemuserid": ref{"systemuser", user}, "roleid": role})
	}
}

// people makes the employees: users, one of whom leaves, one who has left.
func (l *loader) people() {
	l.adopt("systemuser")
	first := len(l.made["systemuser"])
	titles := []string{"Managing Director", "Head of Sales", "Sales Representative", "Sales Representative", "Head of Service", "Service Agent", "Service Agent", "Technician", "Technician", "Marketing Manager", "Data Importer", "Accountant"}
	for i, title := range titles {
		p := l.org.Person(9000 + i)
		mail := fmt.Sprintf("user%02d@alpenrand.example", i)
		v := values{
			"firstname": p.First, "lastname": p.Last, "fullname": p.Full, "jobtitle": title, "internalemailaddress": mail, "domainname": mail,
			"businessunitid": l.at("businessunit", 1+i%4), "mobilephone": p.Mobile, "address1_telephone1": p.Phone, "employeeid": "E" + strconv.Itoa(1000+i),
			"azureactivedirectoryobjectid": allod.IDValue(allod.GUID{15: byte(i + 1), 6: 0x40, 8: 0x80}), "accessmode": 0, "caltype": 0, "islicensed": true,
			"territoryid": l.at("territory", i), "isdisabled": i == 11, "defaultmailbox": ref{"mailbox", fill.ID(l.o.Seed, "sample:mailbox", i)},
		}
		if i > 0 {
			v["parentsystemuserid"] = l.at("systemuser", first+(i-1)/4)
		}
		u := l.add("systemuser", v)
		l.names[u.id] = p.Full
	}
	users := l.made["systemuser"]
	if l.err != nil {
		return
	}
	l.staff = users[first:]
	l.who.Leaver, l.who.Importer, l.who.Left = users[first+3], users[first+10], users[first+11]
	for i, name := range []string{"Sales", "Customer Service", "Field Service", "Marketing"} {
		l.add("team", values{"name": name, "businessunitid": l.at("businessunit", []int{1, 2, 4, 3}[i]), "isdefault": true, "teamtype": 0, "administratorid": l.at("systemuser", first+i), "emailaddress": "team" + strconv.Itoa(i) + "@alpenrand.example"})
	}
	for _, name := range []string{"Support", "Orders", "Complaints"} {
		l.add("queue", values{"name": name, "emailaddress": name + "@alpenrand.example", "description": "Queue for " + name})
	}
}

// besides makes what the platform made beside users, queues and the root unit.
// Three of the sales people have Exchange in step with the company.
func (l *loader) besides() {
	method := func(on bool, yes, no int) int {
		if on {
			return yes
		}
		return no
	}
	box := func(of ref, name, mail string, syncs, disabled bool) {
		l.add("mailbox", values{
			"name": name, "emailaddress": mail, "regardingobjectid": of, "incomingemaildeliverymethod": 2, "outgoingemaildeliverymethod": 2, "actdeliverymethod": method(syncs, 1, 2),
			"emailrouteraccessapproval": 1, "actstatus": method(syncs, 1, 0), "incomingemailstatus": 1, "outgoingemailstatus": 1,
			"enabledforact": true, "enabledforincomingemail": true, "enabledforoutgoingemail": true, "statecode": method(disabled, 1, 0), "createdon": l.o.Now.AddDate(0, 0, -1300),
		})
	}
	i := 0
	for _, id := range l.made["systemuser"] {
		user := ref{"systemuser", id}
		l.insert(l.m.Table("usersettings"), id, values{"businessunitid": l.unit, "timezonecode": 92, "localeid": 1033, "uilanguageid": 1033, "helplanguageid": 1033, "paginglimit": 50, "createdby": user, "modifiedby": user})
		if name := l.names[id]; name != "" { // a person; applications have none
			box(user, name, fmt.Sprintf("user%02d@alpenrand.example", i), i > 0 && i < 4, i == 11)
			i++
		}
	}
	for _, name := range []string{"Support", "Orders", "Complaints"} {
		box(l.at("queue", i-12), name, name+"@alpenrand.example", false, false)
		i++
	}
	l.add("team", values{"name": sampleorg.Name, "businessunitid": ref{"businessunit", l.unit}, "isdefault": true, "teamtype": 0, "administratorid": l.at("systemuser", 0)})
}

// goods makes products, units and prices.
func (l *loader) goods() {
	schedule := l.add("uomschedule", values{"name": "Pieces", "baseuomname": "Piece"})
	base := l.add("uom", values{"name": "Piece", "quantity": "1.0000000000", "uomscheduleid": schedule, "isschedulebaseuom": true})
	l.add("uom", values{"name": "Dozen", "quantity": "12.0000000000", "uomscheduleid": schedule, "baseuom": base})
	for _, name := range []string{"Retail 2026", "Trade 2026"} {
		l.add("pricelevel", values{"name": name, "begindate": "2026-01-01", "enddate": "2026-12-31"})
	}
	for i := range 40 {
		p := l.org.Product(i)
		product := l.add("product", values{
			"name": p.Name, "productnumber": p.Number, "description": p.Description, "price": cents(p.Price), "currentcost": cents(p.Price / 2), "defaultuomid": base, "defaultuomscheduleid": schedule,
			"pricelevelid": l.at("pricelevel", 0), "quantityonhand": strconv.Itoa(l.rng.IntN(500)) + ".00", "productstructure": 1, "quantitydecimal": 2,
		})
		for k := range 2 {
			l.add("productpricelevel", values{"pricelevelid": l.at("pricelevel", k), "productid": product, "uomid": base, "amount": cents(p.Price * (100 - 20*k) / 100), "pricingmethodcode": 1, "quantitysellingcode": 1, "productnumber": p.Number})
		}
	}
	for i := range 6 {
		c := l.org.Company(5000 + i)
		l.add("competitor", values{"name": c.Name, "websiteurl": c.Website, "strengths": l.org.Text(l.rng, 1), "weaknesses": l.org.Text(l.rng, 1)})
	}
	for i := range 6 {
		v := values{"title": []string{"Products", "Delivery", "Invoices", "Warranty", "Rental", "Events"}[i]}
		if i == 3 {
			v["parentsubject"] = l.at("subject", 0)
		}
		l.add("subject", v)
	}
	for i := range 25 {
		l.add("knowledgearticle", values{
			"title": l.org.Subject(l.rng), "articlepublicnumber": fmt.Sprintf("KA-%05d", 1000+i), "content": "<p>" + l.org.Text(l.rng, 8) + "</p>", "description": "How to help.", "keywords": "help",
			"majorversionnumber": 1, "minorversionnumber": 0, "primaryauthorid": l.some("systemuser"), "subjectid": l.some("subject"), "statecode": 3, "statuscode": 7,
		})
	}
	for i, name := range []string{"Employer", "Employee", "Friend", "Decision Maker"} {
		l.add("connectionrole", values{"name": name, "category": []int{1, 1, 3, 1000}[i]})
	}
}

func (l *loader) account(i int, more values) ref {
	c := l.org.Company(i)
	v := values{
		"name": c.Name, "accountnumber": fmt.Sprintf("A%06d", 100000+i), "telephone1": c.Phone, "fax": c.Fax, "websiteurl": c.Website, "emailaddress1": c.Email, "industrycode": 1 + c.Industry%9,
		"customertypecode": 3, "accountcategorycode": 1 + i%2, "numberofemployees": c.Employees, "revenue": cents(100 * c.Employees * (50_000 + l.rng.IntN(90_000))), "creditlimit": cents(100 * (1000 + l.rng.IntN(50_000))),
		"address1_line1": c.Address.Line1, "address1_city": c.Address.City, "address1_postalcode": c.Address.PostalCode, "address1_country": c.Address.Country, "address1_stateorprovince": c.Address.State, "address1_telephone1": c.Phone,
		"territoryid": l.some("territory"), "defaultpricelevelid": l.at("pricelevel", i), "description": l.org.Text(l.rng, 1), "alp_taxnumber": fmt.Sprintf("ATU%08d", 55500000+i), "preferredcontactmethodcode": 1,
	}
	if i%7 == 3 && i > 10 {
		v["parentaccountid"] = l.at("account", l.rng.IntN(i))
	}
	if i%25 == 4 {
		v["alp_creditreport"] = l.file("credit-report-"+strconv.Itoa(i)+".pdf", int64(2000+l.rng.IntN(40_000)))
	}
	for k, x := range more {
		v[k] = x
	}
	l.withAddresses("account", i, v)
	a := l.add("account", v)
	l.names[a.id] = c.Name
	l.addresses(a, v)
	return a
}

func (l *loader) contact(i int, parent ref, more values) ref {
	p := l.org.Person(i)
	v := values{
		"firstname": p.First, "lastname": p.Last, "fullname": p.Full, "jobtitle": p.Title, "emailaddress1": p.Email, "telephone1": p.Phone, "mobilephone": p.Mobile, "birthdate": p.Born, "gendercode": 1, "parentcustomerid": parent,
		"address1_line1": p.Address.Line1, "address1_line2": p.Address.Line2, "address1_city": p.Address.City, "address1_postalcode": p.Address.PostalCode, "address1_country": p.Address.Country, "address1_stateorprovince": p.Address.State,
		"preferredcontactmethodcode": 1 + i%3, "donotbulkemail": i%9 == 0, "alp_shoesize": strconv.Itoa(36+i%11) + ".5", "governmentid": fmt.Sprintf("P%07d", 5550000+i),
	}
	if p.Female {
		v["gendercode"] = 2
	}
	if parent.table == "account" {
		v["accountid"] = parent
	}
	if i%4 == 0 {
		v["description"] = l.org.Text(l.rng, 2)
	}
	if i%6 == 0 {
		v["alp_interests"] = []string{"1,3", "2", "1,2,3,4,5"}[i/6%3]
	}
	for k, x := range more {
		v[k] = x
	}
	l.withAddresses("contact", i, v)
	c := l.add("contact", v)
	l.names[c.id], _ = v["fullname"].(string)
	l.addresses(c, v)
	return c
}

// customers makes accounts and contacts. The first account is the one that a
// story deletes, the second employs the person the other story is about.
func (l *loader) customers() {
	day := func(n int) time.Time { return l.o.Now.AddDate(0, 0, -n) }
	own := ref{"systemuser", l.who.Leaver}
	gone := l.account(0, values{"ownerid": own, "createdon": day(1000), "description": "Long-standing customer in the mountains."})
	l.who.Account, l.who.AccountName = gone.id, l.names[gone.id]
	for i := 1; i < l.n(300); i++ {
		l.account(i, nil)
	}
	l.contact(0, gone, values{"ownerid": own})
	s := l.contact(1, l.at("account", 1), values{
		"firstname": "Marlies", "lastname": "Dornauer-Quell", "fullname": "Marlies Dornauer-Quell", "emailaddress1": "marlies.dornauer-quell@bergpost.example",
		"gendercode": 2, "createdon": day(1200), "childrensnames": "Severin, Ilse", "spousesname": "Konrad Quell", "description": "Asked twice which data we keep about her.",
	})
	l.who.Subject, l.who.SubjectName = s.id, "Marlies Dornauer-Quell"
	for i := 2; i < 7; i++ {
		l.contact(i, gone, values{"ownerid": own})
	}
	for i := 7; i < l.n(900); i++ {
		parent := ref{}
		if i%10 > 0 {
			parent = l.at("account", 1+i%(l.n(300)-1))
		} else if i%20 == 0 {
			parent = l.at("contact", 2+i/2)
		}
		l.contact(i, parent, nil)
	}
	l.primaries()
}

// primaries gives accounts their primary contacts, which closes the circle
// between the two tables.
func (l *loader) primaries() {
	if l.err != nil {
		return
	}
	contacts := map[allod.GUID]allod.GUID{}
	t := l.m.Table("contact")
	l.err = l.s.Update(func(tx *store.Tx) error {
		for _, id := range l.made["contact"] {
			if table, a := tx.Value("contact", tx.Get("contact", id), "parentcustomerid").Target(); table == "account" {
				if _, have := contacts[a]; !have {
					contacts[a] = id
				}
			}
		}
		at := tx.Column("account", "primarycontactid")
		for _, a := range l.made["account"] {
			if c, ok := contacts[a]; ok {
				cells := append(tx.Cells(tx.Get("account", a)), store.Cell{Column: at, Value: allod.LookupValue(t.LogicalName, c)})
				tx.Put("account", a, cells)
			}
		}
		return nil
	})
}

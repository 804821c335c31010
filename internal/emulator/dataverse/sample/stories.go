package sample

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"
)

// cast writes the traces of the subject and what hangs on the account.
func (l *loader) cast() {
	l.bookingStatuses()
	s, home := ref{"contact", l.who.Subject}, l.at("account", 1)
	var last ref
	for i := range 8 {
		c := l.incident(s, s, values{"createdon": l.o.Now.AddDate(0, 0, -40*i-9)})
		if i < 3 {
			l.note(c, i == 0)
		}
		last = c
	}
	for i := range 9 {
		l.email(s, last, i%3 == 0)
	}
	for range 4 {
		l.call(s, s)
		l.task(s)
	}
	l.note(s, true)
	l.note(s, false)
	for i := range 2 {
		o := l.opportunity(s, s)
		l.orders(s, o, i)
	}
	l.connect(s, home, 1, 0)
	l.connect(s, l.at("contact", 8), 2, 2)
	l.lead(s, 100000)
	l.workOrder(home, s)

	own := ref{"systemuser", l.who.Leaver}
	gone := ref{"account", l.who.Account}
	for i := range 9 {
		c := l.incident(gone, l.at("contact", []int{0, 2, 3, 4, 5, 6}[i%6]), values{"ownerid": own})
		l.note(c, i%2 == 0)
		if i%3 == 0 {
			l.call(l.at("contact", 2), c)
		}
	}
	l.note(gone, true)
	l.task(gone)
	l.email(l.at("contact", 0), gone, true)
}

func (l *loader) incident(customer, contact ref, more values) ref {
	n := len(l.made["incident"])
	v := values{
		"title": l.org.Subject(l.rng), "ticketnumber": fmt.Sprintf("CAS-%05d-X%03d", 1000+n, n%997), "description": l.org.Text(l.rng, 3), "customerid": customer, "primarycontactid": contact,
		"productid": l.some("product"), "subjectid": l.some("subject"), "caseorigincode": 1 + n%3, "casetypecode": 1 + n%3, "prioritycode": 1 + n%3, "emailaddress": "case@alpenrand.example",
	}
	if n%3 == 1 {
		v["statecode"], v["statuscode"] = 1, 5
	}
	if customer.table == "account" {
		v["accountid"] = customer
	} else {
		v["contactid"] = customer
	}
	for k, x := range more {
		v[k] = x
	}
	return l.add("incident", v)
}

// note adds a note, with a text file or without.
func (l *loader) note(about ref, file bool) {
	n := len(l.made["annotation"])
	v := values{"objectid": about, "subject": "Note", "notetext": l.org.Text(l.rng, 2), "langid": nil}
	if n%13 == 7 {
		v["notetext"] = l.org.Foreign(l.rng)
	}
	if file {
		body := l.org.Long(l.rng, 200+l.rng.IntN(5000))
		v["isdocument"], v["filename"], v["mimetype"], v["filesize"] = true, "note-"+strconv.Itoa(n)+".txt", "text/plain", len(body)
		v["documentbody"] = base64.StdEncoding.EncodeToString([]byte(body))
	}
	l.add("annotation", v)
}

func (l *loader) party(activity, who ref, role int, address string) {
	if who.table == "" {
		return
	}
	l.add("activityparty", values{"activityid": activity, "partyid": who, "participationtypemask": role, "addressused": address})
}

// email adds a message between a customer and one of the people, with parties,
// sometimes with an attachment.
func (l *loader) email(who, about ref, attach bool) {
	n := len(l.made["email"])
	user := l.some("systemuser")
	incoming := n%2 == 0
	at := l.moment(700)
	v := values{
		"subject": l.org.Subject(l.rng), "description": "<html><body><p>Dear " + l.names[who.id] + ",</p><p>" + l.org.Text(l.rng, 4) + "</p></body></html>", "regardingobjectid": about, "directioncode": !incoming,
		"messageid": fmt.Sprintf("<%d.%d@alpenrand.example>", l.o.Seed, n), "senton": at, "createdon": at, "ownerid": user, "actualend": at, "scheduledend": at,
	}
	if n%8 > 0 {
		v["statecode"], v["statuscode"] = 1, 3
		if incoming {
			v["statuscode"] = 4
		}
	}
	v["emailsender"] = user
	if incoming {
		v["emailsender"] = who
	}
	e := l.add("email", v)
	from, to := user, who
	if incoming {
		from, to = who, user
	}
	l.party(e, from, 1, "from@alpenrand.example")
	l.party(e, to, 2, "to@alpenrand.example")
	l.party(e, about8(about), 8, "")
	if attach {
		body := l.org.Long(l.rng, 300+l.rng.IntN(9000))
		l.add("activitymimeattachment", values{"objectid": e, "filename": "attachment-" + strconv.Itoa(n) + ".txt", "mimetype": "text/plain", "filesize": len(body), "body": base64.StdEncoding.EncodeToString([]byte(body)), "attachmentnumber": 1})
	}
	if n%10 == 5 {
		l.add("queueitem", values{"queueid": l.some("queue"), "objectid": e, "title": "Mail", "enteredon": at})
	}
}

// about8 is what a party of the role Regarding can refer to.
func about8(about ref) ref {
	if about.table == "incident" || about.table == "opportunity" {
		return ref{}
	}
	return about
}

func (l *loader) call(who, about ref) {
	user := l.some("systemuser")
	at := l.moment(700)
	c := l.add("phonecall", values{
		"subject": "Call: " + l.org.Subject(l.rng), "description": l.org.Text(l.rng, 2), "regardingobjectid": about, "phonenumber": "+43 1 555 0100", "directioncode": l.rng.IntN(2) == 0,
		"ownerid": user, "createdon": at, "scheduledend": at, "statecode": 1, "statuscode": 2, "actualdurationminutes": 1 + l.rng.IntN(40),
	})
	l.party(c, user, 1, "")
	l.party(c, who, 2, "")
}

func (l *loader) task(about ref) {
	n := len(l.made["task"])
	v := values{"subject": "Follow up: " + l.org.Subject(l.rng), "description": l.org.Text(l.rng, 1), "regardingobjectid": about, "scheduledend": l.o.Now.AddDate(0, 0, n%60), "prioritycode": n % 3, "percentcomplete": 10 * (n % 10)}
	if n%4 == 1 {
		v["statecode"], v["statuscode"], v["percentcomplete"] = 1, 5, 100
	}
	l.add("task", v)
}

func (l *loader) lead(contact ref, i int) {
	p, c := l.org.Person(i), l.org.Company(i%900+400)
	v := values{
		"subject": "Interested in " + l.org.Product(i).Name, "firstname": p.First, "lastname": p.Last, "fullname": p.Full, "companyname": c.Name, "jobtitle": p.Title, "emailaddress1": p.Email, "telephone1": p.Phone, "mobilephone": p.Mobile,
		"description": l.org.Text(l.rng, 1), "leadsourcecode": 1 + i%10, "leadqualitycode": 1 + i%3, "estimatedclosedate": l.o.Now.AddDate(0, 1, i%50), "budgetamount": cents(100 * (500 + i%9000)), "address1_city": p.Address.City,
	}
	if contact.table != "" {
		v["parentcontactid"], v["customerid"], v["statecode"], v["statuscode"] = contact, contact, 1, 3
		if contact.id == l.who.Subject {
			v["firstname"], v["lastname"], v["fullname"], v["emailaddress1"] = "Marlies", "Dornauer-Quell", l.who.SubjectName, "marlies.dornauer-quell@bergpost.example"
		}
	}
	l.add("lead", v)
}

func (l *loader) opportunity(customer, contact ref) ref {
	n := len(l.made["opportunity"])
	v := values{
		"name": fmt.Sprintf("%s, season %d", l.org.Product(n).Name, 2024+n%3), "customerid": customer, "parentcontactid": contact, "pricelevelid": l.at("pricelevel", n), "estimatedvalue": cents(100 * (1000 + l.rng.IntN(90000))),
		"estimatedclosedate": l.o.Now.AddDate(0, 0, n%90), "closeprobability": 10 * (n % 10), "opportunityratingcode": 1 + n%3, "customerneed": l.org.Text(l.rng, 1),
	}
	switch n % 5 {
	case 1:
		v["statecode"], v["statuscode"], v["actualvalue"], v["actualclosedate"] = 1, 3, cents(100*(900+n)), l.o.Now.AddDate(0, 0, -n%300)
	case 3:
		v["statecode"], v["statuscode"] = 2, 4
	}
	o := l.add("opportunity", v)
	l.lines("opportunityproduct", "opportunityid", o)
	return o
}

// lines adds two positions to an offer, order or invoice.
func (l *loader) lines(table, column string, of ref) {
	for i := range 2 {
		k := l.rng.IntN(40)
		p := l.org.Product(k)
		q := 1 + l.rng.IntN(12)
		l.add(table, values{column: of, "productid": l.at("product", k), "uomid": l.at("uom", 0), "productdescription": p.Name, "quantity": strconv.Itoa(q) + ".00000", "priceperunit": cents(p.Price), "baseamount": cents(p.Price * q), "extendedamount": cents(p.Price * q), "lineitemnumber": i + 1})
	}
}

// orders makes the papers that follow an opportunity.
func (l *loader) orders(customer, o ref, i int) {
	n := len(l.made["quote"])
	name := "Offer " + strconv.Itoa(2000+n)
	q := l.add("quote", values{"name": name, "quotenumber": fmt.Sprintf("QUO-%05d", n), "revisionnumber": 0, "customerid": customer, "opportunityid": o, "pricelevelid": l.at("pricelevel", 0), "totalamount": cents(100 * (100 + l.rng.IntN(9000))), "expireson": l.o.Now.AddDate(0, 0, 30)})
	l.lines("quotedetail", "quoteid", q)
	if i%4 == 3 {
		return
	}
	s := l.add("salesorder", values{"name": "Order " + strconv.Itoa(3000+n), "ordernumber": fmt.Sprintf("ORD-%05d", n), "customerid": customer, "opportunityid": o, "quoteid": q, "pricelevelid": l.at("pricelevel", 0), "totalamount": cents(100 * (100 + l.rng.IntN(9000))), "requestdeliveryby": l.o.Now.AddDate(0, 0, 10)})
	l.lines("salesorderdetail", "salesorderid", s)
	inv := l.add("invoice", values{"name": "Invoice " + strconv.Itoa(4000+n), "invoicenumber": fmt.Sprintf("INV-%05d", n), "customerid": customer, "salesorderid": s, "pricelevelid": l.at("pricelevel", 0), "totalamount": cents(100 * (100 + l.rng.IntN(9000))), "duedate": l.o.Now.AddDate(0, 0, 14)})
	l.lines("invoicedetail", "invoiceid", inv)
}

func (l *loader) connect(a, b ref, roleA, roleB int) {
	l.add("connection", values{"record1id": a, "record2id": b, "record1roleid": l.at("connectionrole", roleA), "record2roleid": l.at("connectionrole", roleB), "name": l.names[b.id], "effectivestart": l.moment(800), "ismaster": true})
}

// sales makes leads, opportunities and papers of everybody else. Accounts that
// a story deletes stay out of papers, which would hold them back.
func (l *loader) sales() {
	for i := range l.n(200) {
		c := ref{}
		if i%5 == 0 {
			c = l.at("contact", 10+i)
		}
		l.lead(c, 20000+i)
	}
	for i := range l.n(150) {
		customer, contact := l.at("account", 2+i%(l.n(300)-2)), l.at("contact", 9+i)
		o := l.opportunity(customer, contact)
		if i%2 == 0 {
			l.orders(customer, o, i)
		}
		if i%3 == 0 {
			l.connect(contact, customer, 1, 0)
		}
	}
}

func (l *loader) service() {
	for i := range l.n(40) {
		l.add("entitlement", values{"name": "Service plan " + strconv.Itoa(i), "customerid": l.at("account", 2+i), "startdate": l.moment(300), "enddate": l.o.Now.AddDate(1, 0, 0), "totalterms": "20.00", "remainingterms": strconv.Itoa(i%20) + ".00", "allocationtypecode": 1})
	}
	for i := len(l.made["incident"]); i < l.n(600); i++ {
		contact := l.at("contact", 7+l.rng.IntN(l.n(880)))
		customer := contact
		if i%3 > 0 {
			customer = l.at("account", 1+l.rng.IntN(l.n(300)-1))
		}
		more := values{}
		if i%11 == 0 {
			more["parentcaseid"] = l.some("incident")
		}
		if i%6 == 0 {
			more["entitlementid"] = l.some("entitlement")
		}
		c := l.incident(customer, contact, more)
		if i%2 == 0 {
			l.note(c, i%6 == 0)
		}
		if i%5 == 0 {
			l.add("queueitem", values{"queueid": l.some("queue"), "objectid": c, "title": "Case", "enteredon": l.moment(400), "workerid": l.some("systemuser")})
		}
	}
}

// talk makes the activities of everybody else.
func (l *loader) talk() {
	someone := func() ref { return l.at("contact", 7+l.rng.IntN(l.n(880))) }
	for i := range l.n(350) {
		about := l.some("incident")
		if i%3 == 0 {
			about = l.at("account", 1+l.rng.IntN(l.n(300)-1))
		}
		l.email(someone(), about, i%4 == 0)
	}
	for i := range l.n(250) {
		c := someone()
		l.call(c, c)
		if i%2 == 0 {
			l.task(l.some("opportunity"))
		} else {
			l.task(c)
		}
	}
	for i := range l.n(100) {
		start := l.moment(500)
		a := l.add("appointment", values{"subject": "Meeting " + strconv.Itoa(i), "location": l.org.Person(i).Address.City, "scheduledstart": start, "scheduledend": start.Add(time.Hour), "scheduleddurationminutes": 60, "regardingobjectid": l.at("account", 1+i), "statecode": 3, "statuscode": 5})
		l.party(a, l.some("systemuser"), 7, "")
		l.party(a, someone(), 5, "")
		l.party(a, someone(), 6, "")
	}
}

package sample

import (
	"fmt"
	"strconv"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/fill"
	"allod/internal/emulator/dataverse/formula"
)

func (l *loader) bookingStatuses() {
	for i, name := range []string{"Scheduled", "Traveling", "In Progress", "Completed"} {
		l.add("bookingstatus", values{"name": name, "status": i + 1})
	}
}

// workOrder makes a visit to a customer with parts, work, an asset and a booking.
func (l *loader) workOrder(account, contact ref) {
	n := len(l.made["msdyn_workorder"])
	p := l.org.Product(n)
	asset := l.add("msdyn_customerasset", values{"msdyn_name": p.Name + " no. " + strconv.Itoa(n), "msdyn_account": account, "msdyn_product": l.at("product", n)})
	at := l.moment(200)
	w := l.add("msdyn_workorder", values{
		"msdyn_name": fmt.Sprintf("%05d", n), "msdyn_serviceaccount": account, "msdyn_billingaccount": account, "msdyn_reportedbycontact": contact, "msdyn_servicerequest": l.some("incident"), "msdyn_pricelist": l.at("pricelevel", 0),
		"msdyn_customerasset": asset, "msdyn_workordersummary": l.org.Text(l.rng, 2), "msdyn_systemstatus": 690970000 + n%6, "msdyn_totalamount": cents(100 * (40 + n%900)), "msdyn_timefrompromised": at, "msdyn_timetopromised": at.Add(4 * time.Hour), "msdyn_latitude": "47.26543", "msdyn_longitude": "11.39354",
	})
	l.add("msdyn_workorderproduct", values{"msdyn_name": p.Name, "msdyn_workorder": w, "msdyn_product": l.at("product", n), "msdyn_unit": l.at("uom", 0), "msdyn_quantity": "2", "msdyn_unitamount": cents(p.Price), "msdyn_totalamount": cents(2 * p.Price)})
	l.add("msdyn_workorderservice", values{"msdyn_name": "Work", "msdyn_workorder": w, "msdyn_service": l.at("product", 0), "msdyn_duration": 90, "msdyn_unitamount": cents(9000), "msdyn_totalamount": cents(13500)})
	if r := l.some("bookableresource"); r.table != "" {
		l.add("bookableresourcebooking", values{"name": "Visit", "resource": r, "bookingstatus": l.some("bookingstatus"), "starttime": at, "endtime": at.Add(90 * time.Minute), "duration": 90, "bookingtype": 1, "msdyn_workorder": w})
	}
}

func (l *loader) field() {
	for i := range 6 {
		u := l.at("systemuser", i+4)
		l.add("bookableresource", values{"name": "Technician " + strconv.Itoa(i+1), "resourcetype": 3, "userid": u, "timezone": 110})
	}
	for i := range l.n(110) {
		l.workOrder(l.at("account", 2+i), l.at("contact", 9+i))
	}
}

// marketing makes campaigns, journeys and consents.
func (l *loader) marketing() {
	for i, name := range []string{"Spring Fair", "Ski Opening", "Rental Week", "Club Night", "Outlet Days"} {
		l.add("campaign", values{"name": name, "codename": "CMP-" + strconv.Itoa(i), "objective": l.org.Text(l.rng, 1), "budgetedcost": cents(500000 + 10000*i), "expectedresponse": 100, "proposedstart": l.o.Now.AddDate(0, i, 0)})
	}
	for i, name := range []string{"Mountain guides", "Newsletter", "Trade customers", "Prospects"} {
		l.add("list", values{"listname": name, "createdfromcode": []int{2, 2, 1, 4}[i], "membertype": []int{2, 2, 1, 4}[i], "purpose": "Invitations", "cost": cents(1000)})
	}
	for _, name := range []string{"Commercial", "Transactional", "Events"} {
		l.add("msdynmkt_purpose", values{"msdynmkt_name": name, "msdynmkt_description": "Purpose: " + name})
	}
	for i := range 4 {
		s := l.add("msdynmkt_segment", values{"msdynmkt_displayname": "Segment " + strconv.Itoa(i+1), "msdynmkt_basequery": "<fetch/>", "msdynmkt_membercount": 100 * i})
		l.add("msdynmkt_journey", values{"msdynmkt_name": "Journey " + strconv.Itoa(i+1), "msdynmkt_goal": "Sell rentals", "msdynmkt_startdatetime": l.moment(100), "msdynmkt_workflowdefinition": `{"steps":[{"type":"email"}]}`, "msdynmkt_segment": s})
		l.add("msdynmkt_email", values{"msdynmkt_name": "Mail " + strconv.Itoa(i+1), "msdynmkt_subject": l.org.Subject(l.rng), "msdynmkt_body": "<p>" + l.org.Text(l.rng, 5) + "</p>", "msdynmkt_fromname": "Alpenrand"})
	}
	for i := range l.n(500) {
		contact, value := l.at("contact", 1+i), l.org.Person(1+i).Email
		if i == 0 {
			value = "marlies.dornauer-quell@bergpost.example"
		}
		v := values{"msdynmkt_name": value, "msdynmkt_contactpointvalue": value, "msdynmkt_reason": "Form on the web site", "msdynmkt_purposeid": l.at("msdynmkt_purpose", i), "msdynmkt_contactid": contact, "msdynmkt_consentgivenon": l.moment(600)}
		l.add("msdynmkt_contactpointconsent4", v)
	}
}

// cards makes the custom tables: loyalty cards with a contract and a photo, and
// the shops where they are used.
func (l *loader) cards() {
	for i, name := range []string{"Oberkaltbach", "Steinmoos", "Neu-Grünfeld", "青葉野"} {
		v := values{"alp_name": "Shop " + name, "alp_manager": l.some("systemuser"), "alp_opened": fmt.Sprintf("20%02d-02-28", 10+i), "alp_area": strconv.Itoa(120+40*i) + ".50"}
		cards, points := 0, 0 // as the hourly job left them
		for k := i; k < l.n(250); k += 4 {
			cards, points = cards+1, points+17*k
		}
		v["alp_cards"], v["alp_cardpoints"] = cards, strconv.Itoa(points)+".00"
		for _, rollup := range []string{"alp_cards", "alp_cardpoints"} {
			v[rollup+"_date"], v[rollup+"_state"] = l.o.Now, formula.Done
		}
		l.add("alp_store", v)
	}
	for i := range l.n(250) {
		holder := l.at("contact", 1+i)
		v := values{
			"alp_name": "Card " + strconv.Itoa(i), "alp_cardnumber": fmt.Sprintf("LC-%07d", 1000+i), "alp_account": l.at("account", 1+i), "alp_holder": holder, "alp_points": 17 * i, "alp_totalpoints": 9_000_000_000 + 31*i,
			"alp_balance": cents(37 * i), "alp_discount": fmt.Sprintf("%d.%04d", i%20, i*7%10000), "alp_score": strconv.FormatFloat(float64(i)/8, 'f', -1, 64), "alp_tier": 100000000 + i%3, "alp_interests": []string{"1", "1,3", "2,4,5"}[i%3],
			"alp_issuedon": []string{"2024-02-29", "2023-12-31", "1999-01-01", "2025-03-30"}[i%4], "alp_validuntil": l.o.Now.AddDate(1, 0, i%300), "alp_storetime": "2025-10-26T02:30:00Z", "alp_active": i%5 > 0,
			"alp_remarks": l.org.Foreign(l.rng), "alp_secretquestion": "First summit?", "alp_externalid": fill.ID(l.o.Seed, "external", i),
			"alp_homestore": l.at("alp_store", i),
		}
		if i%3 == 0 {
			v["alp_contract"] = l.file("contract-"+strconv.Itoa(i)+".pdf", int64(500+l.rng.IntN(60_000)))
		}
		if i%6 == 1 {
			id, thumbnail := l.photo()
			v["alp_photo"], v["alp_photoid"], v["alp_photo_timestamp"] = thumbnail, id, 638000000000000000+i
			v["alp_photo_url"] = fmt.Sprintf("/Image/download.aspx?Entity=alp_loyaltycard&Attribute=alp_photo&Id=%v&Timestamp=%v", id, v["alp_photo_timestamp"])
		}
		if i%9 == 2 {
			v["alp_holder"] = l.at("account", 1+i)
		}
		l.add("alp_loyaltycard", v)
	}
}

// pairs joins rows many to many.
func (l *loader) pairs() {
	link := func(relationship string, a, b ref) {
		if l.err != nil || a.table == "" || b.table == "" {
			return
		}
		r := l.m.Relationship(relationship)
		if r == nil {
			l.err = allod.Errorf(allod.Internal, "load sample: no relationship %s", relationship)
			return
		}
		v := values{r.Attribute1: a, r.Attribute2: b}
		if r.Intersect == "listmember" {
			v["entitytype"] = a.table
		}
		l.add(r.Intersect, v)
	}
	for i := range l.n(60) {
		link("contactleads_association", l.at("contact", 1+3*i), l.at("lead", i))
		link("accountleads_association", l.at("account", 1+2*i), l.at("lead", i))
		link("opportunitycompetitors_association", l.at("opportunity", i), l.at("competitor", i))
		link("leadcompetitors_association", l.at("lead", i), l.at("competitor", i))
		link("contactquotes_association", l.at("contact", 9+i), l.at("quote", i))
		link("listaccount_association", l.at("account", 1+i), l.at("list", 2))
		link("listlead_association", l.at("lead", i), l.at("list", 3))
	}
	for i := range l.n(150) {
		link("listcontact_association", l.at("contact", 1+2*i), l.at("list", i%2))
		link("alp_contact_store", l.at("contact", 1+i), l.at("alp_store", i))
		link("alp_loyaltycard_store", l.at("alp_loyaltycard", i), l.at("alp_store", i/2))
	}
	for i := range 24 {
		link("competitorproduct_association", l.at("competitor", i), l.at("product", i))
	}
	users := len(l.made["systemuser"])
	for i := range users {
		u := l.at("systemuser", i)
		link("teammembership_association", u, l.at("team", i))
		role := 1 + i%4
		if i == 0 {
			role = 0
		}
		link("systemuserroles_association", u, l.at("role", role))
		if i%3 == 0 {
			link("queuemembership_association", l.at("queue", i/3), u)
			link("systemuserprofiles_association", u, l.at("fieldsecurityprofile", 0))
		}
	}
	for i := range 4 {
		link("teamroles_association", l.at("team", i), l.at("role", 1+i))
		link("roleprivileges_association", l.at("role", 1+i), l.at("privilege", i))
	}
	link("teamprofiles_association", l.at("team", 0), l.at("fieldsecurityprofile", 0))
}

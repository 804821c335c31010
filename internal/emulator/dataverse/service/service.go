// Package service reckons what cases use up and set going: terms of
// entitlements, and timers of service level agreements ("Create an entitlement
// to define the support terms for a customer", "Define service level
// agreements", Entitlement, SLAItem and SLAKPIInstance table reference). It
// only says which rows are made or changed; package platform writes them.
//
// Assumed: an SLA item applies to every case and is counted in hours of the
// clock from the creation of the case; resolving a case meets its timers,
// cancelling ends them; cancelling a case gives back what its creation took, and
// reactivating it what its resolution took.
package service

import (
	"math/big"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/beside"
	"allod/internal/emulator/dataverse/store"
)

// Tables by name.
const (
	cases        = "incident"
	entitlements = "entitlement"
	agreements   = "sla"
	items        = "slaitem"
	timers       = "slakpiinstance"
	resolutions  = "incidentresolution"
)

// States of cases, and of entitlements and agreements in force.
const (
	open     = 0
	resolved = 1
	canceled = 2
	inForce  = 1
)

// Status of a timer (SLAKPIInstance table reference).
const (
	inProgress   = 0
	noncompliant = 1
	nearing      = 2
	paused       = 3
	succeeded    = 4
	ended        = 5
)

// Kinds of entitlements (Entitlement table reference).
const (
	byHours    = 1 // allocationtypecode
	onCreation = 1 // decreaseremainingon
)

// World is what the rows are in; Now is a moment in UTC.
type World struct {
	Tx    *store.Tx
	NewID func() allod.GUID
	Now   time.Time
}

func (w World) value(table string, id allod.GUID, column string) allod.Value {
	return w.Tx.Value(table, w.Tx.Get(table, id), column)
}

// New returns what a new row sets going and the columns of the row itself that
// refer to it. Only open cases set something going.
func (w World) New(table string, id allod.GUID) (rows []beside.Row, own map[string]allod.Value) {
	own = map[string]allod.Value{}
	if table != cases || w.value(cases, id, "statecode").Int() != open {
		return nil, own
	}
	if e := w.entitlement(id); !e.IsZero() && w.value(entitlements, e, "decreaseremainingon").Int() == onCreation {
		rows = append(rows, w.terms(e, big.NewRat(-1, 1)))
	}
	return append(rows, w.start(id, own)...), own
}

// entitlement is the one in force that the case belongs to, or zero.
func (w World) entitlement(of allod.GUID) allod.GUID {
	e := w.value(cases, of, "entitlementid").GUID()
	if e.IsZero() || !w.Tx.Has(entitlements) || w.value(entitlements, e, "statecode").Int() != inForce {
		return allod.GUID{}
	}
	return e
}

// terms changes what remains of an entitlement.
func (w World) terms(e allod.GUID, by *big.Rat) beside.Row {
	left, ok := new(big.Rat).SetString(w.value(entitlements, e, "remainingterms").Text())
	if !ok {
		left = new(big.Rat)
	}
	return beside.Row{Table: entitlements, ID: e, Values: map[string]allod.Value{
		"remainingterms": allod.TextValue(allod.Decimal, left.Add(left, by).FloatString(2)),
	}}
}

// agreement is the SLA of a case: its own, that of its entitlement, or the
// default one.
func (w World) agreement(of allod.GUID) allod.GUID {
	for _, id := range []allod.GUID{w.value(cases, of, "slaid").GUID(), w.value(entitlements, w.entitlement(of), "slaid").GUID()} {
		if !id.IsZero() && w.value(agreements, id, "statecode").Int() == inForce {
			return id
		}
	}
	for _, id := range w.Tx.Find(agreements, "isdefault", allod.BooleanValue(true)) {
		if about := w.value(agreements, id, "primaryentityotc"); w.value(agreements, id, "statecode").Int() == inForce && (about.IsNull() || about.String() == "112") {
			return id
		}
	}
	return allod.GUID{}
}

// start makes a timer for each item of the agreement.
func (w World) start(id allod.GUID, own map[string]allod.Value) (rows []beside.Row) {
	if !w.Tx.Has(agreements) || !w.Tx.Has(items) || !w.Tx.Has(timers) {
		return nil
	}
	sla := w.agreement(id)
	from, err := time.Parse(time.RFC3339, w.value(cases, id, "createdon").Text())
	if sla.IsZero() || err != nil {
		return nil
	}
	own["slaid"], own["slainvokedid"] = allod.LookupValue(agreements, sla), allod.LookupValue(agreements, sla)
	for _, item := range w.Tx.Find(items, "slaid", allod.IDValue(sla)) {
		fail, warn := w.after(from, item, "failureafter"), w.after(from, item, "warnafter")
		status := int64(inProgress)
		switch {
		case fail.Before(w.Now):
			status = noncompliant
		case warn.Before(w.Now):
			status = nearing
		}
		r := beside.Row{Table: timers, ID: w.NewID(), Values: map[string]allod.Value{
			"name": w.value(items, item, "name"), "regarding": allod.LookupValue(cases, id), "ownerid": w.value(cases, id, "ownerid"), "status": allod.IntegerValue(status),
			"failuretime": moment(fail), "warningtime": moment(warn), "computedfailuretime": moment(fail), "computedwarningtime": moment(warn), "applicablefromvalue": moment(from),
		}}
		if field := w.value(items, item, "relatedfield").Text(); field != "" {
			own[field] = allod.LookupValue(timers, r.ID)
		}
		rows = append(rows, r)
	}
	return rows
}

// after is the moment so many minutes later as the item says.
func (w World) after(from time.Time, item allod.GUID, column string) time.Time {
	return from.Add(time.Duration(w.value(items, item, column).Int()) * time.Minute)
}

func moment(t time.Time) allod.Value {
	return allod.TextValue(allod.DateTime, t.UTC().Format("2006-01-02T15:04:05Z"))
}

// Changed returns what follows when a case is resolved, cancelled or
// reactivated.
func (w World) Changed(c beside.Change) (rows []beside.Row) {
	was, is := c.Old("statecode").Int(), c.Now("statecode").Int()
	if c.Table != cases || was == is {
		return nil
	}
	if e := w.entitlement(c.ID); !e.IsZero() {
		created := w.value(entitlements, e, "decreaseremainingon").Int() == onCreation
		switch by := w.spent(e, c.ID); {
		case !created && is == resolved:
			rows = append(rows, w.terms(e, by.Neg(by)))
		case !created && was == resolved:
			rows = append(rows, w.terms(e, by))
		case created && is == canceled:
			rows = append(rows, w.terms(e, big.NewRat(1, 1)))
		case created && was == canceled:
			rows = append(rows, w.terms(e, big.NewRat(-1, 1)))
		}
	}
	if was != open || !w.Tx.Has(timers) {
		return rows
	}
	for _, id := range w.Tx.Find(timers, "regarding", allod.IDValue(c.ID)) {
		if r, running := w.stop(id, is); running {
			rows = append(rows, r)
		}
	}
	return rows
}

// spent is what the resolution of a case takes: one case, or the hours of the
// activities that resolved it.
func (w World) spent(e, id allod.GUID) *big.Rat {
	if w.value(entitlements, e, "allocationtypecode").Int() != byHours {
		return big.NewRat(1, 1)
	}
	minutes := int64(0)
	if w.Tx.Has(resolutions) {
		for _, r := range w.Tx.Find(resolutions, "incidentid", allod.IDValue(id)) {
			minutes = max(minutes, w.value(resolutions, r, "timespent").Int())
		}
	}
	return big.NewRat(minutes, 60)
}

// stop ends a timer that runs.
func (w World) stop(id allod.GUID, state int64) (r beside.Row, running bool) {
	switch w.value(timers, id, "status").Int() {
	case inProgress, nearing, paused:
	default:
		return r, false
	}
	v := map[string]allod.Value{"status": allod.IntegerValue(ended)}
	if state == resolved {
		fail, err := time.Parse(time.RFC3339, w.value(timers, id, "failuretime").Text())
		if v["status"] = allod.IntegerValue(succeeded); err == nil && fail.Before(w.Now) {
			v["status"] = allod.IntegerValue(noncompliant)
		} else {
			v["succeededon"] = moment(w.Now)
		}
	}
	return beside.Row{Table: timers, ID: id, Values: v}, true
}

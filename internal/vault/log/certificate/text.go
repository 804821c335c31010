package certificate

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

const width = 80

// Text renders the certificate for people, 80 columns wide where its words let
// it, in plain ASCII but for names. It says nothing that the JSON does not say.
func (c *Certificate) Text() string {
	p := &page{}
	rectified := c.Form == Rectify
	p.line(map[bool]string{false: "CERTIFICATE OF ERASURE", true: "CERTIFICATE OF RECTIFICATION"}[rectified])
	p.line("")
	p.field("Request", c.Erasure.String())
	p.field("Vault", c.Vault.String())
	p.field("Issued", when(c.Issued))
	p.field("Asked for", when(c.Asked))
	p.line("")
	p.para("", c.what())
	p.line("")
	p.state(c)
	p.line("")
	p.approval(c)
	p.line("")
	p.line("How the keys were destroyed")
	u := c.Puncture
	p.para("  ", fmt.Sprintf("Log entry %d of %s moved %s of the key tree from epoch %d to epoch %d.", u.Entry, when(u.Time), u.roots(), u.EpochBefore, u.Epoch))
	p.field("  Entry", u.Digest.String())
	for _, r := range u.Roots {
		p.line(fmt.Sprintf("  Root %d", r.Root))
		p.field("  Absent before", r.AbsentBefore.String())
		p.field("  Absent after", r.AbsentAfter.String())
	}
	if len(u.Roots) > 0 {
		p.line(fmt.Sprintf("  Root %d", u.Root))
	}
	p.field("  Absent before", u.AbsentBefore.String())
	p.field("  Absent after", u.AbsentAfter.String())
	p.line("")
	p.line("Places where keys lay")
	for _, place := range c.Places {
		p.place(place)
	}
	if len(c.SlotHistory) > 0 {
		p.line("")
		p.para("", "WARNING: these places keep what is deleted from them, and were accepted all the same. Whoever reads their history, with what opens a slot, opens what was erased: "+strings.Join(c.SlotHistory, ", ")+".")
	}
	p.line("")
	p.line("Kept")
	if rectified {
		p.item("The record, corrected. Other records that may repeat the wrong value were not touched.")
	}
	for _, k := range c.Kept {
		p.item(fmt.Sprintf("%s.%s in %d records: %s", k.Table, k.Column, k.Records, k.Ground))
	}
	if len(c.Kept) == 0 && !rectified {
		p.item("No other record that the plan looked at names the person.")
	}
	p.line("")
	p.line(map[bool]string{false: "What is left of the erased records", true: "What is left of the versions before"}[rectified])
	for _, r := range c.Residue {
		p.item(r)
	}
	p.line("")
	p.line("Records, by tag (environment, table, tag)")
	for _, t := range c.Tags {
		p.line(fmt.Sprintf("  %d %d %s", t.Environment, t.Table, t.Tag))
	}
	p.line("")
	p.para("", fmt.Sprintf("Ledger entry %d records this %s; its proof stands in the certificate. The certificate is evidence of what was done in the places it names, not a proof that no copy exists. Check it with: allod-verify --vault FILE CERTIFICATE", c.Ledger.Index, map[bool]string{false: "erasure", true: "rectification"}[rectified]))
	return p.b.String()
}

func (c *Certificate) what() string {
	n := "The keys of 1 record were destroyed"
	if len(c.Tags) != 1 {
		n = fmt.Sprintf("The keys of %d records were destroyed", len(c.Tags))
	}
	urgent := ""
	if c.Urgent {
		urgent = ", without the usual wait,"
	}
	if r := c.Rectified; r != nil {
		return r.what(len(c.Tags), urgent)
	}
	if c.Form == ForgetPast {
		return n + urgent + " for everything that was stored of them until then, in every snapshot and every copy of the vault at once. What came later is kept under new keys."
	}
	return n + urgent + " in every snapshot and every copy of the vault at once. The records are refused if they come back."
}

// what says what was corrected, without values.
func (r *Rectified) what(records int, urgent string) string {
	of := "1 record"
	if records != 1 {
		of = fmt.Sprintf("%d records", records)
	}
	s := fmt.Sprintf("What was stored of %s was stored anew%s with corrections in %s, and the keys of what was stored before were destroyed, in every snapshot and every copy of the vault at once.", of, urgent, strings.Join(r.Columns, ", "))
	if r.Generation > 0 {
		s += fmt.Sprintf(" Versions: %d, of which %d held another value; they stand under generation %d of the keys.", r.Versions, r.Corrected, r.Generation)
	}
	return s + " The values are not in this certificate; those that were approved have, with a salt, the SHA-256 " + r.Values + "."
}

type page struct{ b strings.Builder }

func (p *page) line(s string) { p.b.WriteString(strings.TrimRight(s, " ") + "\n") }

func (p *page) field(name, value string) { p.line(fmt.Sprintf("%-15s %s", name, value)) }

func (p *page) item(s string) { p.hanging("  - ", "    ", s) }

func (p *page) para(indent, s string) { p.hanging(indent, indent, s) }

// hanging writes words, the first line behind first and the others behind rest.
func (p *page) hanging(first, rest, s string) {
	line, empty := first, true
	for _, word := range strings.Fields(s) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			p.line(line)
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	p.line(line)
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func (p *page) state(c *Certificate) {
	at, final := c.Final()
	switch {
	case final && !at.After(c.Issued):
		of := map[bool]string{false: "the records", true: "what was stored before"}[c.Form == Rectify]
		p.para("", "FINAL since "+when(at)+": no counted place holds a key that opens "+of+".")
		return
	case final:
		p.para("", "FINAL ON "+when(at)+": older keys were deleted everywhere; until then a place may still give back what was deleted from it.")
		return
	}
	p.line("NOT FINAL YET. Pending:")
	for _, i := range c.Pending {
		until := ""
		if !i.Until.IsZero() {
			until = " (until " + when(i.Until) + ")"
		}
		p.item(i.What + until + ": " + i.Next)
	}
	for _, place := range c.Places {
		if place.Destroyed.IsZero() {
			p.item("older keys in " + place.Name)
		} else if place.LatencyDays < 0 {
			p.item("nobody knows when what was deleted in " + place.Name + " is gone")
		}
	}
	for _, s := range c.SlotHistory {
		p.item(s + " keeps what is deleted from it")
	}
}

func (p *page) approval(c *Certificate) {
	p.line("Approval")
	if c.Approval.OnePerson {
		p.para("  ", "ONE PERSON: fewer than two people were registered, so that nobody else could be asked.")
	}
	for _, a := range c.Approval.Approvers {
		p.item("approved by " + a)
	}
	p.field("  Request", c.Approval.Request.String())
	p.field("  Plan", c.Approval.Plan)
}

func (p *page) place(place Place) {
	s := fmt.Sprintf("%s (%s): ", place.Name, place.Kind)
	switch {
	case place.Destroyed.IsZero():
		s += "older keys are still there"
	case place.By != "":
		s += fmt.Sprintf("%s on %s, as declared by %s", place.Means, when(place.Destroyed), place.By)
	default:
		s += fmt.Sprintf("%s on %s", place.Means, when(place.Destroyed))
	}
	switch {
	case place.LatencyDays < 0:
		s += "; nobody knows when what is deleted there is gone"
	case place.LatencyDays > 0:
		s += fmt.Sprintf("; gone %d days later", place.LatencyDays)
	}
	p.item(s)
}

package fetch_test

import (
	"strings"
	"testing"

	"allod/internal/emulator/dataverse/fetch"
	"allod/internal/emulator/dataverse/wire"
)

func TestParse(t *testing.T) {
	q, err := fetch.Parse(`<fetch count="3" page="2" distinct="true" paging-cookie="&lt;cookie page=&quot;1&quot;/&gt;"><entity name="account">
		<attribute name="name" alias="n"/><order attribute="name" descending="true"/>
		<filter type="or"><condition attribute="statecode" operator="in"><value>0</value><value> 1 </value></condition><filter/></filter>
		<link-entity name="contact" from="contactid" to="primarycontactid" link-type="outer" alias="c"><all-attributes/></link-entity></entity></fetch>`)
	if err != nil {
		t.Fatal(err)
	}
	e := q.Root
	if q.Count != 3 || q.Page != 2 || !q.Distinct || q.Cookie != `<cookie page="1"/>` || e.Attributes[0].Alias != "n" || !e.Orders[0].Descending {
		t.Errorf("got %+v, %+v", q, e)
	}
	if f := e.Filters[0]; !f.Or || len(f.Conditions[0].Values) != 2 || f.Conditions[0].Values[1] != "1" {
		t.Errorf("filter: got %+v", f)
	}
	if l := e.Links[0]; l.Join != fetch.Outer || !l.All || l.To != "primarycontactid" {
		t.Errorf("link: got %+v", l)
	}
}

// What is too big, too deep or no FetchXML is refused with the service's
// error, whatever it is.
func TestParseRefuses(t *testing.T) {
	entity := func(s string) string { return `<fetch><entity name="account">` + s + `</entity></fetch>` }
	for text, code := range map[string]string{
		"": "0x80040203", "<": "0x80040203", "<fetch/>": "0x80040203", "<entity name='a'/>": "0x80040203",
		"<fetch><entity/></fetch>":                              "0x80040203",
		"<fetch top='1' page='2'><entity name='a'/></fetch>":    "0x80040203",
		"<fetch count='-1'><entity name='a'/></fetch>":          "0x80040203",
		"<fetch count='99999999999'><entity name='a'/></fetch>": "0x80040203",
		"<fetch datasource='lake'><entity name='a'/></fetch>":   "0x80040203",
		"<fetch datasource='retained' aggregate='true'><entity name='a'><attribute name='b' aggregate='count' alias='n'/></entity></fetch>": "0x80040203",
		"<fetch datasource='retained'><entity name='a'><link-entity name='c' from='d' to='e'/></entity></fetch>":                            "0x80040203",
		`<!DOCTYPE x [<!ENTITY a "b">]><fetch><entity name="a"/></fetch>`:                                                                   "0x80040203",
		entity(`<attribute name="&a;"/>`):                                                                    "0x80040203",
		entity(`<attribute name="name" alias='a"b'/>`):                                                       "0x80040203",
		entity(`<link-entity name="contact" alias="1"/>`):                                                    "0x80040203",
		entity(`<link-entity name="contact" link-type="any"/>`):                                              "0x80040203",
		entity(`<filter><link-entity name="contact"/></filter>`):                                             "0x80040203",
		entity(`<filter type="xor"/>`):                                                                       "0x80040203",
		entity(`<other/>`):                                                                                   "0x80040203",
		entity(strings.Repeat("<filter>", 40) + strings.Repeat("</filter>", 40)):                             "0x80040203",
		entity(strings.Repeat(`<link-entity name="contact"/>`, 16)):                                          "0x8004430D",
		entity(strings.Repeat(`<attribute name="name"/>`, 5001)):                                             "0x80040203",
		entity(strings.Repeat(" ", 300<<10)):                                                                 "0x80040203",
		entity("<filter>" + strings.Repeat(`<condition attribute="a" operator="null"/>`, 501) + "</filter>"): "0x8004430C",
	} {
		q, err := fetch.Parse(text)
		if err == nil {
			t.Errorf("%.80s: got %+v", text, q)
			continue
		}
		if e := wire.AsError(err); e.Code != code {
			t.Errorf("%.80s: got %v, want %s", text, e, code)
		}
	}
}

// Parse never panics, and refuses only as the service does.
func FuzzParse(f *testing.F) {
	f.Add(`<fetch mapping='logical'><entity name='account'><attribute name='accountid'/><attribute name='name'/></entity></fetch>`)
	f.Add(`<fetch aggregate="true" top="5"><entity name="a"><attribute name="b" aggregate="sum" alias="c"/><link-entity name="d" to="e"><filter><condition attribute="f" operator="in"><value>1</value></condition></filter></link-entity></entity></fetch>`)
	f.Add("<fetch><!-- --><?x?><entity")
	f.Fuzz(func(t *testing.T, text string) {
		q, err := fetch.Parse(text)
		if err != nil {
			if e := wire.AsError(err); e.Status != 400 && e.Status != 501 {
				t.Errorf("got %v", e)
			}
			return
		}
		if q.Root == nil || q.Root.Name == "" {
			t.Errorf("got %+v", q)
		}
	})
}

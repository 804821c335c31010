package sql_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"allod/internal/emulator/dataverse/sql"
	"allod/internal/emulator/dataverse/wire"
)

func TestFetchXML(t *testing.T) {
	for in, want := range map[string]string{
		"SELECT TOP 10 name FROM account": `<fetch top="10"><entity name="account"><attribute name="name"/></entity></fetch>`,
		"select distinct [name] as title, a.revenue r\r\nfrom account as a order by a.name desc, revenue;":   `<fetch distinct="true"><entity name="account"><attribute name="name" alias="title"/><attribute name="revenue" alias="r"/><order attribute="name" descending="true"/><order attribute="revenue"/></entity></fetch>`,
		"SELECT name FROM account a WHERE a.name LIKE N'O''N%' AND revenue>=-1.5":                            `<fetch><entity name="account"><attribute name="name"/><filter type="and"><filter type="and"><condition attribute="name" operator="like" value="O&#39;N%"/><condition attribute="revenue" operator="ge" value="-1.5"/></filter></filter></entity></fetch>`,
		"SELECT name FROM account WHERE a=1 OR (b<>2 AND c IS NOT NULL) OR d NOT IN ('x','<')":               `<fetch><entity name="account"><attribute name="name"/><filter type="and"><filter type="or"><condition attribute="a" operator="eq" value="1"/><filter type="and"><condition attribute="b" operator="ne" value="2"/><condition attribute="c" operator="not-null"/></filter><condition attribute="d" operator="not-in"><value>x</value><value>&lt;</value></condition></filter></filter></entity></fetch>`,
		"SELECT name FROM account WHERE a BETWEEN 1 AND 2 AND b IS NULL AND c NOT LIKE 'x' AND d<3 AND e!=4": `<fetch><entity name="account"><attribute name="name"/><filter type="and"><filter type="and"><condition attribute="a" operator="between"><value>1</value><value>2</value></condition><condition attribute="b" operator="null"/><condition attribute="c" operator="not-like" value="x"/><condition attribute="d" operator="lt" value="3"/><condition attribute="e" operator="ne" value="4"/></filter></filter></entity></fetch>`,
	} {
		got, err := sql.FetchXML(in)
		if err != nil || got != want {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "SELECT", "SELECT * FROM account", "SELECT name", "SELECT name FROM", "DELETE FROM account", "SELECT name FROM account; SELECT name FROM contact", "SELECT TOP x name FROM account", "SELECT TOP 0 name FROM account",
		"SELECT name FROM account WHERE", "SELECT name FROM account WHERE name", "SELECT name FROM account WHERE name = other", "SELECT name FROM account WHERE 'x' = name", "SELECT name FROM account WHERE name NOT = 1", "SELECT name FROM account WHERE (name = 1",
		"SELECT name FROM account ORDER name", "SELECT b.name FROM account a", "SELECT name FROM account JOIN contact", "SELECT name FROM account WHERE name = 'x", "SELECT [name FROM account", "SELECT name FROM account WHERE name IN ()", "SELECT name # FROM account",
		"SELECT name FROM account WHERE name IS 1", "SELECT name FROM account WHERE a BETWEEN 1 OR 2", "SELECT name, FROM account", "SELECT name FROM account GROUP BY name", strings.Repeat("x", 40000),
		"SELECT name FROM account WHERE " + strings.Repeat("(", 60) + "a=1" + strings.Repeat(")", 60),
	} {
		if got, err := sql.FetchXML(in); err == nil || wire.AsError(err).Status != 400 {
			t.Errorf("%.80s: got %s, %v, want 400", in, got, err)
		}
	}
}

// What comes out is XML whatever goes in.
func FuzzFetchXML(f *testing.F) {
	f.Add("SELECT DISTINCT TOP 3 a.name AS n FROM account a WHERE (name LIKE 'x%' OR b IN (1,'2')) AND c IS NULL ORDER BY name DESC;")
	f.Add("SELECT [a] FROM b WHERE c BETWEEN -1 AND 'x''y'")
	f.Fuzz(func(t *testing.T, in string) {
		out, err := sql.FetchXML(in)
		if err != nil {
			return
		}
		for dec := xml.NewDecoder(strings.NewReader(out)); ; {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("%q: %s: %v", in, out, err)
			}
		}
	})
}

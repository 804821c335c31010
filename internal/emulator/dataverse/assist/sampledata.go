package assist

import (
	"encoding/json"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/wire"
)

// The documentation's sample rows; the product's are more.
func sampleAccounts() []string {
	return []string{
		"Fourth Coffee", "Litware, Inc.", "Adventure Works", "Fabrikam, Inc.", "Blue Yonder Airlines", "City Power & Light", "Contoso Pharmaceuticals", "Alpine Ski House",
		"A. Datum Corporation", "Coho Winery",
	}
}

func sampleContacts() []string {
	return []string{
		"Yvonne McKay", "Susanna Stubberod", "Nancy Anderson", "Maria Campbell", "Sidney Higa", "Scott Konersmann", "Robert Lyon", "Paul Cannon", "Rene Valdes", "Jim Glynn",
	}
}

// sampleID is the key of a sample row, the same each time.
func sampleID(table, name string) allod.GUID { return access.NamedID("sample " + table + " " + name) }

// install adds sample rows that are not there: an account and its contact each.
func install(c change.Writer) error {
	return c.Update(func(a *platform.Act) error {
		add := func(table, name string, values map[string]any) error {
			t, id := c.Schema.Model.Table(table), sampleID(table, name)
			if t == nil || !a.Tx.Has(table) || a.Exists(t, id) {
				return nil
			}
			text, err := json.Marshal(values)
			if err != nil {
				return err
			}
			p, err := wire.ParsePayload(c.Schema, t, text)
			if err == nil {
				_, err = a.Create(t, id, p)
			}
			return err
		}
		for i, name := range sampleAccounts() {
			if err := add("account", name, map[string]any{"name": name + " (sample)"}); err != nil {
				return err
			}
			person := sampleContacts()[i]
			first, last, _ := strings.Cut(person, " ")
			values := map[string]any{"firstname": first, "lastname": last + " (sample)"}
			if t := c.Schema.Model.Table("account"); t != nil && a.Exists(t, sampleID("account", name)) {
				if nav := c.Schema.NavOf("contact", "parentcustomerid", "account"); nav != "" {
					values[nav+"@odata.bind"] = "/" + t.SetName + "(" + sampleID("account", name).String() + ")"
				}
			}
			if err := add("contact", person, values); err != nil {
				return err
			}
		}
		return nil
	})
}

// uninstall deletes the sample rows that are there.
func uninstall(c change.Writer) error {
	return c.Update(func(a *platform.Act) error {
		remove := func(table string, names []string) error {
			t := c.Schema.Model.Table(table)
			for _, name := range names {
				if t == nil || !a.Exists(t, sampleID(table, name)) {
					continue
				}
				if err := a.Delete(t, sampleID(table, name)); err != nil {
					return err
				}
			}
			return nil
		}
		if err := remove("contact", sampleContacts()); err != nil {
			return err
		}
		return remove("account", sampleAccounts())
	})
}

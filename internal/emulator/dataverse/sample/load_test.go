package sample

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
)

func newStore(m *entity.Model) *store.Store {
	s := store.New(1000)
	for _, t := range m.Tables {
		if t.Abstract {
			continue
		}
		names := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			names[i] = c.LogicalName
		}
		s.AddTable(t.LogicalName, names)
	}
	return s
}

func load(t testing.TB, o Options) (*entity.Model, *store.Store, Cast) {
	t.Helper()
	m := model(t)
	s := newStore(m)
	who, err := Load(m, s, o)
	if err != nil {
		t.Fatal(err)
	}
	return m, s, who
}

func each(m *entity.Model, s *store.Store, f func(tx *store.Tx, t *entity.Table, r *store.Row)) {
	s.View(func(tx *store.Tx) {
		for _, t := range m.Tables {
			for _, r := range tx.Page(t.LogicalName, nil, 1_000_000) {
				f(tx, t, r)
			}
		}
	})
}

func TestLoad(t *testing.T) {
	m, s, who := load(t, Options{Seed: 1})
	rows, total, subject, files := map[string]int{}, 0, map[string]int{}, 0
	texts := map[string]map[string]bool{}
	each(m, s, func(tx *store.Tx, tb *entity.Table, r *store.Row) {
		rows[tb.LogicalName]++
		total++
		mine := tb.LogicalName == "contact" && r.Key == who.Subject
		for _, c := range tx.Cells(r) {
			col := tb.Columns[c.Column]
			switch c.Value.Type() {
			case allod.Lookup:
				target, id := c.Value.Target()
				if tx.Get(target, id) == nil {
					t.Errorf("%s.%s refers to %s(%s), which is not there", tb.LogicalName, col.LogicalName, target, id)
				}
				if m.Lookup(tb, col.LogicalName, target) == nil && col.Kind != "Owner" && !tb.Intersect {
					t.Errorf("%s.%s refers to %s without a relationship", tb.LogicalName, col.LogicalName, target)
				}
				mine = mine || id == who.Subject
			case allod.ID:
				mine = mine || c.Value.GUID() == who.Subject
				if col.Kind == "File" {
					files++
					if tx.Blob(c.Value.GUID()) == nil {
						t.Errorf("%s.%s: no content", tb.LogicalName, col.LogicalName)
					}
				}
			}
		}
		for _, k := range tb.Keys {
			v := tx.Value(tb.LogicalName, r, k.Columns[0]).Text()
			if texts[k.SchemaName] == nil {
				texts[k.SchemaName] = map[string]bool{}
			}
			if texts[k.SchemaName][v] {
				t.Errorf("%s: the key %s has %q twice", tb.LogicalName, k.SchemaName, v)
			}
			texts[k.SchemaName][v] = true
		}
		if mine {
			subject[tb.LogicalName]++
		}
	})
	for _, x := range m.Tables {
		later := x.LogicalName == "audit" || strings.HasPrefix(x.LogicalName, "bulkdelete") || strings.HasPrefix(x.LogicalName, "retention") || strings.HasPrefix(x.LogicalName, "sdkmessage") // filled by what happens
		if x.SetName != "" && !x.Abstract && !later && rows[x.LogicalName] == 0 {
			t.Errorf("%s has a set and no rows", x.LogicalName)
		}
	}
	want := map[string]int{"account": 300, "contact": 900, "incident": 600, "organization": 1}
	for table, n := range want {
		if rows[table] != n {
			t.Errorf("%s: got %d rows, want %d", table, rows[table], n)
		}
	}
	sum := 0
	for _, n := range subject {
		sum += n
	}
	if sum < 50 || len(subject) < 12 {
		t.Errorf("traces of the subject: %d rows in %d tables: %v", sum, len(subject), subject)
	}
	t.Logf("%d rows in %d tables, %d files; the subject: %d rows in %d tables %v", total, len(rows), files, sum, len(subject), subject)
}

// Nothing that restricts deletion refers to the account of the story.
func TestAccountCanBeDeleted(t *testing.T) {
	m, s, who := load(t, Options{Seed: 3})
	cases, contacts := 0, 0
	each(m, s, func(tx *store.Tx, tb *entity.Table, r *store.Row) {
		for _, c := range tx.Cells(r) {
			if c.Value.Type() != allod.Lookup {
				continue
			}
			target, id := c.Value.Target()
			if target != "account" || id != who.Account {
				continue
			}
			col := tb.Columns[c.Column].LogicalName
			if rel := m.Lookup(tb, col, "account"); rel != nil && rel.Cascade.Delete == "Restrict" {
				t.Errorf("%s.%s holds the account back", tb.LogicalName, col)
			}
			switch tb.LogicalName + "." + col {
			case "incident.customerid":
				cases++
			case "contact.parentcustomerid":
				contacts++
			}
		}
	})
	if cases < 5 || contacts < 5 {
		t.Errorf("the account has %d cases and %d contacts", cases, contacts)
	}
}

func TestLoadScale(t *testing.T) {
	_, s, _ := load(t, Options{Seed: 2, Scale: 3})
	s.View(func(tx *store.Tx) {
		for table, want := range map[string]int{"account": 900, "contact": 2700, "incident": 1800} {
			if got := tx.Len(table); got != want {
				t.Errorf("%s: got %d rows, want %d", table, got, want)
			}
		}
	})
}

func TestLoadDeterministic(t *testing.T) {
	digest := func(seed uint64) string {
		m, s, _ := load(t, Options{Seed: seed})
		h := sha256.New()
		each(m, s, func(tx *store.Tx, tb *entity.Table, r *store.Row) {
			fmt.Fprintln(h, tb.LogicalName, r.Key, r.Version, tx.Cells(r))
		})
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	one := digest(4)
	if two := digest(4); one != two {
		t.Errorf("the same seed gave %s and %s", one, two)
	}
	if one == digest(5) {
		t.Error("another seed gave the same rows")
	}
}

// What solutions hold is there: every row of solutioncomponent names a table,
// a column or a row that exists, and every kind of component table has one.
func TestComponentsExist(t *testing.T) {
	m, s, _ := load(t, Options{Seed: 1})
	metadata := map[allod.GUID]bool{}
	for _, tb := range m.Tables {
		metadata[tb.MetadataID] = true
		for _, c := range tb.Columns {
			metadata[c.MetadataID] = true
		}
	}
	kinds := map[int]string{}
	for _, name := range []string{
		"role", "savedquery", "workflow", "systemform", "webresource", "appmodule", "canvasapp", "connectionreference", "environmentvariabledefinition", "environmentvariablevalue",
	} {
		kinds[platform.ComponentType(m.Table(name))] = name
	}
	seen := map[string]int{}
	s.View(func(tx *store.Tx) {
		for _, r := range tx.Page("solutioncomponent", nil, 1000) {
			value := func(column string) allod.Value { return tx.Value("solutioncomponent", r, column) }
			id, table := value("objectid").GUID(), kinds[int(value("componenttype").Int())]
			seen[table]++
			if table == "" && !metadata[id] || table != "" && tx.Get(table, id) == nil {
				t.Errorf("component %v of type %d (%s) is not there", id, value("componenttype").Int(), table)
			}
		}
		flows := 0
		for _, r := range tx.Page("workflow", nil, 1000) {
			if tx.Value("workflow", r, "category").Int() == 5 && json.Valid([]byte(tx.Value("workflow", r, "clientdata").Text())) {
				flows++
			}
		}
		if flows < 2 {
			t.Errorf("got %d cloud flows with a definition, want 2", flows)
		}
	})
	for _, table := range kinds {
		if seen[table] == 0 {
			t.Errorf("no solution has a %s", table)
		}
	}
}

// The organisation has what fiscal periods and managers are reckoned from.
func TestSettingsOfOrganisation(t *testing.T) {
	_, s, _ := load(t, Options{Seed: 3})
	s.View(func(tx *store.Tx) {
		for _, r := range tx.Page("organization", nil, 2) {
			for column, want := range map[string]string{"fiscalcalendarstart": "2025-07-01T00:00:00Z", "fiscalperiodtype": "2002", "ishierarchicalsecuritymodelenabled": "true", "maxdepthforhierarchicalsecuritymodel": "3"} {
				if got := tx.Value("organization", r, column).String(); got != want {
					t.Errorf("%s: got %s, want %s", column, got, want)
				}
			}
		}
		if n := tx.Len("organization"); n != 1 {
			t.Errorf("%d organisations", n)
		}
	})
}

// The rows of privileges are what roles can hold: those of tables, of which
// activities share one set, and those that belong to no table.
func TestPrivileges(t *testing.T) {
	m, s, _ := load(t, Options{Seed: 3})
	got := map[string]allod.GUID{}
	s.View(func(tx *store.Tx) {
		for _, r := range tx.Page("privilege", nil, tx.Len("privilege")) {
			name := tx.Value("privilege", r, "name").Text()
			if _, twice := got[name]; twice {
				t.Errorf("%s is there twice", name)
			}
			got[name] = r.Key
		}
	})
	for name, id := range map[string]allod.GUID{
		"prvReadAccount": m.Table("account").PrivilegeID("Read"), "prvShareContact": m.Table("contact").PrivilegeID("Share"),
		"prvReadActivity": m.Table("task").PrivilegeID("Read"), "prvWriteActivity": m.Table("activitypointer").PrivilegeID("Write"),
		"prvExportCustomization": access.NamedID("prvExportCustomization"), "prvActOnBehalfOfAnotherUser": access.NamedID("prvActOnBehalfOfAnotherUser"),
	} {
		if got[name] != id {
			t.Errorf("%s: got %v, want %v", name, got[name], id)
		}
	}
	if _, own := got["prvReadTask"]; own {
		t.Error("tasks have a privilege of their own")
	}
}

package samples_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"allod"
	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/formula"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/csdl"
)

// world is an emulator with the standard tables and the rows that a sample
// speaks of.
type world struct {
	srv    *dvemu.Server
	schema *wire.Schema
}

// model is the metadata of a real organisation with what the documentation's
// samples presume: custom tables, a file, an image and a multi-select column,
// and the ids that metadata has in them.
func model(t *testing.T) *entity.Model {
	t.Helper()
	f, err := os.Open(shared + "csdl-jag-spd-spice.xml.gz")
	if err != nil {
		t.Skip("metadata made by others is not here: ../shared/data is absent")
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := csdl.ParseCSDL(z)
	if err != nil {
		t.Fatal(err)
	}
	m, err := entity.FromCSDL(doc)
	if err != nil {
		t.Fatal(err)
	}
	account, contact := m.Table("account"), m.Table("contact")
	column := func(name, kind, edm string) *entity.Column {
		return &entity.Column{LogicalName: name, SchemaName: name, Kind: entity.ColumnKind(kind), EdmType: edm, ValidForCreate: true, ValidForUpdate: true, ValidForRead: true, ValidOData: true, Required: "None", MaxLength: 100}
	}
	file, image, hobbies := column("myfileattribute", "File", "Edm.Binary"), column("myentityimage", "Image", "Edm.Binary"), column("sample_outdooractivities", "MultiSelectPicklist", "Edm.String")
	file.MaxSizeKB, image.MaxSizeKB, image.FullImage = 32768, 10240, true
	hobbies.OptionSet = &entity.OptionSet{Name: "sample_outdooractivities"}
	for i, l := range []string{"Swimming", "Hiking", "Mountain Climbing", "Fishing", "Hunting", "Running", "Boating", "Skiing", "Camping"} {
		hobbies.OptionSet.Options = append(hobbies.OptionSet.Options, entity.Option{Value: i + 1, Label: l})
	}
	account.Columns = append(account.Columns, file, image)
	contact.Columns = append(contact.Columns, hobbies)
	account.Keys = append(account.Keys, &entity.Key{SchemaName: "sample_PrimaryContactKey", Columns: []string{"primarycontactid"}})
	bank := &entity.Table{
		LogicalName: "new_bankaccount", SchemaName: "new_BankAccount", SetName: "new_bankaccounts", PrimaryID: "new_bankaccountid", PrimaryName: "new_accountname", Ownership: 1,
		Columns: []*entity.Column{column("new_bankaccountid", "Uniqueidentifier", "Edm.Guid"), column("new_accountname", "String", "Edm.String")},
	}
	widget := &entity.Table{
		LogicalName: "new_widget", SchemaName: "new_Widget", SetName: "new_widgets", PrimaryID: "new_widgetid", PrimaryName: "new_serialnumber", Ownership: 1,
		Columns: []*entity.Column{column("new_widgetid", "Uniqueidentifier", "Edm.Guid"), column("new_serialnumber", "String", "Edm.String")},
	}
	widget.Columns[1].SchemaName, widget.Columns[1].AutoNumber = "new_Serialnumber", "WID-{SEQNUM:5}"
	m.Tables = append(m.Tables, bank, widget)
	m.Seal()
	entity.Derive(m)
	account.MetadataID, bank.MetadataID = guid("70816501-edb9-4740-a16c-6a5efbc05d84"), guid("402fa40f-287c-e511-80d2-00155d2a68d2")
	account.Column("preferredappointmentdaycode").MetadataID = guid("5967e7cc-afbb-4c10-bf7e-e7ef430c52be")
	account.Column("preferredappointmentdaycode").DisplayName = "Preferred Day"
	account.Column("preferredappointmentdaycode").OptionSet.Options[0] = entity.Option{Value: 0, Label: "Sunday"}
	account.Column("preferredappointmentdaycode").OptionSet.Said = []byte(`{"Description":{"LocalizedLabels":[{"Label":"Day of the week that the account prefers for scheduling service activities.","LanguageCode":1033,"IsManaged":true,"MetadataId":"1b67144d-ece0-4e83-a38b-b4d48e3f35d5","HasChanged":null}],"UserLocalizedLabel":{"Label":"Day of the week that the account prefers for scheduling service activities.","LanguageCode":1033,"IsManaged":true,"MetadataId":"1b67144d-ece0-4e83-a38b-b4d48e3f35d5","HasChanged":null}}}`)
	account.Column("accountcategorycode").MetadataID = guid("118771ca-6fb9-4f60-8fd4-99b6124b63ad")
	return m
}

func guid(s string) allod.GUID {
	g, err := allod.ParseGUID(s)
	if err != nil {
		panic(err)
	}
	return g
}

func newWorld(t *testing.T) *world {
	t.Helper()
	m := model(t)
	// In 2020 the documentation shows 500 for what it later shows as 412.
	srv, err := dvemu.New(dvemu.Options{Model: m, Seed: 1, OrganizationName: "Contoso", Assume: map[string]string{"duplicate-status": "500"}})
	if err != nil {
		t.Fatal(err)
	}
	srv.Store().Mark("empty")
	return &world{srv, wire.NewSchema(m, formula.Env{})}
}

// reset takes every row back but those an organisation is born with.
func (w *world) reset() error { return w.srv.Store().Rewind("empty") }

// seeds are the rows of one sample on their way into the store.
type seeds struct {
	w     *world
	cells map[string]map[string]allod.Value // "table key": column: value
	order []string
}

func (w *world) seeds() *seeds { return &seeds{w: w, cells: map[string]map[string]allod.Value{}} }

func (s *seeds) row(t *entity.Table, id allod.GUID) map[string]allod.Value {
	k := t.LogicalName + " " + id.String()
	if s.cells[k] == nil {
		s.cells[k] = map[string]allod.Value{}
		s.order = append(s.order, k)
	}
	return s.cells[k]
}

// add takes over the row an object of a response shows, and the rows within it.
// Objects without a key show no row.
func (s *seeds) add(t *entity.Table, o map[string]any) (allod.GUID, bool) {
	key, ok := o[t.PrimaryID].(string)
	id, err := allod.ParseGUID(key)
	if !ok || err != nil {
		return id, false
	}
	row := s.row(t, id)
	for name, v := range o {
		switch v := v.(type) {
		case map[string]any:
			s.one(t, row, name, v)
		case []any:
			s.many(t, id, name, v)
		default:
			s.cell(t, row, name, v, o)
		}
	}
	return id, true
}

func (s *seeds) one(t *entity.Table, row map[string]allod.Value, name string, o map[string]any) {
	nav := s.w.schema.Nav(t.LogicalName, name)
	if nav == nil {
		return
	}
	target := nav.Target
	if target == "owner" || target == "principal" {
		target = "systemuser"
	}
	to := s.w.schema.Model.Table(target)
	if ref, ok := o["@odata.id"].(string); ok {
		if r := rowRef.FindStringSubmatch(ref); r != nil {
			to, o = s.w.schema.Model.Set(r[1]), map[string]any{s.w.schema.Model.Set(r[1]).PrimaryID: r[2]}
		}
	}
	if id, ok := s.add(to, o); ok {
		row[nav.Column] = allod.LookupValue(to.LogicalName, id)
	}
}

func (s *seeds) many(t *entity.Table, id allod.GUID, name string, list []any) {
	nav := s.w.schema.Nav(t.LogicalName, name)
	if nav == nil {
		return
	}
	to := s.w.schema.Model.Table(nav.Target)
	for i, v := range list {
		o, _ := v.(map[string]any)
		far, ok := s.add(to, o)
		switch {
		case !ok:
		case nav.Kind == wire.NavPairs:
			pair := id
			pair[15] ^= byte(i + 1)
			row := s.row(s.w.schema.Model.Table(nav.Intersect), pair)
			row[nav.Near], row[nav.Far] = allod.IDValue(id), allod.IDValue(far)
		default:
			s.row(to, far)[nav.Column] = allod.LookupValue(t.LogicalName, id)
		}
	}
}

// cell takes over a value; a lookup leads to the currency, or to where the
// annotation beside it says.
func (s *seeds) cell(t *entity.Table, row map[string]allod.Value, name string, v any, o map[string]any) {
	var c *entity.Column
	for _, x := range t.Columns {
		if x.Property() == name {
			c = x
		}
	}
	if c == nil || v == nil || c.LogicalName == t.PrimaryID || c.LogicalName == t.ODataKey {
		return
	}
	text := fmt.Sprint(v)
	switch {
	case c.LogicalName == "transactioncurrencyid":
		row[c.LogicalName] = allod.LookupValue("transactioncurrency", s.w.srv.Currency())
	case wire.IsLookup(c):
		target := c.Targets[0]
		if named, ok := o[name+"@Microsoft.Dynamics.CRM.lookuplogicalname"].(string); ok {
			target = named
		}
		to := s.w.schema.Model.Table(target)
		id := guid(text)
		row[c.LogicalName] = allod.LookupValue(target, id)
		if title, ok := o[name+"@OData.Community.Display.V1.FormattedValue"].(string); ok {
			s.row(to, id)[to.PrimaryName] = allod.StringValue(title)
		} else {
			s.row(to, id)
		}
	case c.Kind == "MultiSelectPicklist":
		row[c.LogicalName] = allod.TextValue(allod.Choices, text)
	default:
		if x, err := wire.ParseValue(t, c, rawJSON(v)); err == nil {
			row[c.LogicalName] = x
		}
	}
}

func rawJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it came from JSON
	}
	return b
}

var rowRef = regexp.MustCompile(`\b([a-z_]+)\(([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\)`)

// referred makes sure that the rows exist to which a text refers.
func (s *seeds) referred(text string) {
	for _, r := range rowRef.FindAllStringSubmatch(text, -1) {
		if t := s.w.schema.Model.Set(r[1]); t != nil {
			s.row(t, guid(r[2]))
		}
	}
}

// tableOf is the table whose rows a response shows, nil if it shows none.
func (s *seeds) tableOf(v any) (*entity.Table, map[string]any) {
	top, _ := v.(map[string]any)
	context, _ := top["@odata.context"].(string)
	_, fragment, _ := strings.Cut(context, "$metadata#")
	set := fragment[:strings.IndexFunc(fragment+"(", func(r rune) bool { return !('a' <= r && r <= 'z' || r == '_') })]
	return s.w.schema.Model.Set(set), top
}

// shown takes over all rows of a response.
func (s *seeds) shown(v any) {
	t, top := s.tableOf(v)
	if t == nil {
		return
	}
	s.add(t, top)
	if list, ok := top["value"].([]any); ok {
		for _, v := range list {
			if o, ok := v.(map[string]any); ok {
				s.add(t, o)
			}
		}
	}
}

// decoy adds a row that a filter has to keep out of a list.
func (s *seeds) decoy(v any) {
	if t, top := s.tableOf(v); t != nil && top["value"] != nil {
		s.row(t, guid("dddddddd-0000-0000-0000-dddddddddddd"))[t.PrimaryName] = allod.StringValue("Decoy")
	}
}

// put writes the rows, with what the platform keeps.
func (s *seeds) put() error {
	user, st := s.w.srv.Users()[0].User, s.w.srv.Store()
	return st.Update(func(tx *store.Tx) error {
		for _, k := range s.order {
			name, key, _ := strings.Cut(k, " ")
			t, values := s.w.schema.Model.Table(name), s.cells[k]
			def := func(column string, v allod.Value) {
				if _, said := values[column]; !said && t.Column(column) != nil {
					values[column] = v
				}
			}
			stamp := allod.TextValue(allod.DateTime, "2016-04-06T00:29:04Z")
			def("createdon", stamp)
			def("modifiedon", stamp)
			def("createdby", allod.LookupValue("systemuser", user))
			def("modifiedby", allod.LookupValue("systemuser", user))
			def("ownerid", allod.LookupValue("systemuser", user))
			def("owninguser", allod.LookupValue("systemuser", user))
			def("owningbusinessunit", allod.LookupValue("businessunit", s.w.srv.RootUnit()))
			def("transactioncurrencyid", allod.LookupValue("transactioncurrency", s.w.srv.Currency()))
			def("statecode", allod.IntegerValue(0))
			def("statuscode", allod.IntegerValue(1))
			if t.PrimaryName != "" && t.Column(t.PrimaryName).EdmType == "Edm.String" {
				def(t.PrimaryName, allod.StringValue("Sample"))
			}
			if t.Activity {
				def("activitytypecode", allod.StringValue(t.LogicalName))
			}
			var cells []store.Cell
			for column, v := range values {
				if i := tx.Column(name, column); i >= 0 && !v.IsNull() {
					cells = append(cells, store.Cell{Column: i, Value: v})
				}
			}
			tx.Put(name, guid(key), cells)
		}
		return nil
	})
}

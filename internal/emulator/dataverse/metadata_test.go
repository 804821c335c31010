package dataverse_test

import (
	"compress/gzip"
	"os"
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/odata/csdl"
)

// realModel reads the metadata of a real organisation, where it is at hand.
func realModel(t testing.TB, name string) *entity.Model {
	t.Helper()
	f, err := os.Open("../../../../shared/data/dataverse/" + name)
	if err != nil {
		t.Skipf("metadata made by others is not here: %v", err)
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
	return m
}

func TestRealMetadataIsServed(t *testing.T) {
	c := start(t, dvemu.Options{Model: realModel(t, "csdl-jag-spd-spice.xml.gz")})
	var sets []string
	for _, r := range c.want(200, "GET", "", "").rows() {
		sets = append(sets, r["name"].(string))
	}
	if len(sets) < 300 {
		t.Fatalf("service document lists %d sets", len(sets))
	}
	for _, s := range sets {
		if a := c.do("GET", s, ""); a.Status != 200 {
			t.Errorf("%s: %d %s", s, a.Status, a.Body)
		}
	}
	con := c.want(204, "POST", "contacts", `{"firstname":"Zoë","lastname":"Ng"}`).id()
	acc := c.want(204, "POST", "accounts", `{"name":"A","primarycontactid@odata.bind":"/contacts(`+con+`)","Account_Tasks":[{"subject":"T"}]}`).id()
	r := c.want(200, "GET", "accounts("+acc+")", "", "Prefer", `odata.include-annotations="*"`).json()
	if r["_primarycontactid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] != "contact" || r["_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] != "systemuser" {
		t.Errorf("got %v", r)
	}
	if rows := c.want(200, "GET", "activitypointers", "").rows(); len(rows) != 1 || rows[0]["subject"] != "T" {
		t.Errorf("activitypointers: got %v", rows)
	}
	if a := c.want(200, "GET", "$metadata", ""); !strings.Contains(a.Body, `<EntityType Name="account"`) {
		t.Error("no account in $metadata")
	}
}

func TestEntityDefinitions(t *testing.T) {
	c := start(t, dvemu.Options{Model: realModel(t, "csdl-jag-spd-spice.xml.gz")})
	a := c.want(200, "GET", "EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute&$filter=LogicalName eq 'account'", "")
	if r := a.rows(); len(r) != 1 || r[0]["EntitySetName"] != "accounts" || r[0]["MetadataId"] == nil {
		t.Errorf("got %s", a.Body)
	}
	a = c.want(200, "GET", "EntityDefinitions(LogicalName='account')?$select=LogicalName&$expand=Attributes($select=LogicalName),Keys,ManyToOneRelationships,OneToManyRelationships,ManyToManyRelationships", "")
	for _, name := range []string{"Attributes", "ManyToOneRelationships", "OneToManyRelationships"} {
		if list, _ := a.json()[name].([]any); len(list) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	a = c.want(200, "GET", "EntityDefinitions(LogicalName='account')/Attributes/Microsoft.Dynamics.CRM.StateAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options)", "")
	if r := a.rows(); len(r) != 1 || r[0]["LogicalName"] != "statecode" || r[0]["OptionSet"] == nil {
		t.Errorf("got %s", a.Body)
	}
	if a := c.want(200, "GET", "EntityDefinitions(LogicalName='account')/ObjectTypeCode/$value", ""); a.Body != "1" {
		t.Errorf("got %q", a.Body)
	}
	if r := c.want(200, "GET", "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='name')", "").json(); r["LogicalName"] != "name" {
		t.Errorf("got %v", r)
	}
	if a := c.want(200, "GET", "EntityDefinitions?$select=LogicalName&$filter=ChangeTrackingEnabled eq true and OwnershipType eq Microsoft.Dynamics.CRM.OwnershipTypes'UserOwned'", ""); len(a.rows()) == 0 {
		t.Errorf("got %s", a.Body)
	}
	if r := c.want(200, "GET", "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='statecode')/Microsoft.Dynamics.CRM.StateAttributeMetadata/OptionSet?$select=Options", "").json(); r["Options"] == nil || r["LogicalName"] != nil {
		t.Errorf("choices of a column: got %v", r)
	}
	if a := c.want(200, "GET", "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='name')/SchemaName/$value", ""); a.Body != "Name" {
		t.Errorf("got %q", a.Body)
	}
	c.want(404, "GET", "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='name')/OptionSet", "")
	if a := c.want(200, "GET", "RelationshipDefinitions/Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata", ""); len(a.rows()) == 0 {
		t.Error("no N:N relationships")
	}
	c.want(200, "GET", "GlobalOptionSetDefinitions", "")
	c.want(404, "GET", "EntityDefinitions(LogicalName='nope')", "")
	if a := c.want(200, "GET", `RetrieveTotalRecordCount(EntityNames=@p1)?@p1=["account","contact"]`, ""); !strings.Contains(a.Body, `"Keys":["account","contact"]`) {
		t.Errorf("got %s", a.Body)
	}
	c.want(200, "GET", "RetrieveVersion()", "")
	c.want(200, "GET", "RetrieveCurrentOrganization(AccessType='Default')", "")
}

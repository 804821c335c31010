package entity

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDefinitionsAreJSON(t *testing.T) {
	m := realModel(t, realDocuments[0])
	check := func(what string, o Object) {
		t.Helper()
		b := o.AppendJSON(nil)
		var back map[string]any
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if back["MetadataId"] == nil {
			t.Errorf("%s: no MetadataId", what)
		}
		if len(back) != len(o) {
			t.Errorf("%s: %d members, %d names", what, len(o), len(back))
		}
	}
	for _, x := range m.Tables {
		check(x.LogicalName, x.Definition())
		for _, c := range x.Columns {
			check(x.LogicalName+"."+c.LogicalName, c.Definition(x))
		}
		for _, c := range x.Columns {
			if o, ok := c.Choices(); ok {
				check(c.LogicalName, o)
			}
		}
		for _, k := range x.KeyDefinitions() {
			check(x.LogicalName+" key", k)
		}
	}
	for _, r := range m.Relationships {
		check(r.SchemaName, r.Definition())
	}
}

func TestDefinitionValues(t *testing.T) {
	m := realModel(t, realDocuments[0])
	account := m.Table("account")
	for _, tc := range []struct {
		of   Object
		path string
		want any
	}{
		{account.Definition(), "EntitySetName", "accounts"},
		{account.Definition(), "OwnershipType", "UserOwned"},
		{account.Definition(), "CanChangeTrackingBeEnabled/Value", true},
		{account.Column("name").Definition(account), "@odata.type", "#Microsoft.Dynamics.CRM.StringAttributeMetadata"},
		{account.Column("entityimage").Definition(account), "AttributeType", "Virtual"},
		{account.Column("entityimage").Definition(account), "AttributeTypeName/Value", "ImageType"},
		{account.Column("revenue_base").Definition(account), "IsValidForUpdate", false},
		{account.Column("primarycontactidname").Definition(account), "IsValidODataAttribute", false},
		{account.Column("industrycodename").Definition(account), "AttributeTypeName/Value", "VirtualType"},
		{account.Column("accountid").Definition(account), "@odata.type", "#Microsoft.Dynamics.CRM.UniqueIdentifierAttributeMetadata"},
		{m.Relationship("account_primary_contact").Definition(), "ReferencingEntityNavigationPropertyName", "primarycontactid"},
	} {
		if got, ok := tc.of.Get(tc.path); !ok || got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.path, got, tc.want)
		}
	}
	if _, plain := account.Column("industrycodename").Definition(account).Get("@odata.type"); plain {
		t.Error("a plain attribute carries @odata.type")
	}
	targets, _ := account.Column("ownerid").Definition(account).Get("Targets")
	if diff := cmp.Diff([]string{"systemuser", "team"}, targets); diff != "" {
		t.Errorf("targets of the owner (-want +got)\n%s", diff)
	}
	got := string(account.Definition().Select([]string{"LogicalName", "ObjectTypeCode"}).AppendJSON(nil))
	if want := `{"LogicalName":"account","ObjectTypeCode":1,"MetadataId":"` + account.MetadataID.String() + `"}`; got != want {
		t.Errorf("selection: got %s, want %s", got, want)
	}
}

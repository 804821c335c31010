package entity

import (
	"io"
	"strings"
	"testing"

	"allod/internal/odata/csdl"
)

const smallDocument = `<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices><Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm">
<EntityType Name="crmbaseentity" Abstract="true"/>
<EntityType Name="account" BaseType="mscrm.crmbaseentity"><Key><PropertyRef Name="accountid"/></Key><Property Name="accountid" Type="Edm.Guid"/><Property Name="name" Type="Edm.String"/><Property Name="revenue" Type="Edm.Decimal"/><Property Name="revenue_base" Type="Edm.Decimal"/><Property Name="entityimage" Type="Edm.Binary"/><Property Name="entityimage_timestamp" Type="Edm.Int64"/><Property Name="_primarycontactid_value" Type="Edm.Guid"/><NavigationProperty Name="primarycontactid" Type="mscrm.contact" Partner="account_primary_contact"><ReferentialConstraint Property="_primarycontactid_value" ReferencedProperty="contactid"/></NavigationProperty><NavigationProperty Name="a_c" Type="Collection(mscrm.contact)" Partner="a_c"/></EntityType>
<EntityType Name="contact" BaseType="mscrm.crmbaseentity"><Key><PropertyRef Name="contactid"/></Key><Property Name="contactid" Type="Edm.Guid"/><Property Name="statecode" Type="Edm.Int32"/><NavigationProperty Name="account_primary_contact" Type="Collection(mscrm.account)" Partner="primarycontactid"/><NavigationProperty Name="a_c" Type="Collection(mscrm.account)" Partner="a_c"/></EntityType>
<EntityType Name="a_c" BaseType="mscrm.crmbaseentity"><Key><PropertyRef Name="a_cid"/></Key><Property Name="a_cid" Type="Edm.Guid"/><Property Name="accountid" Type="Edm.Guid"/><Property Name="contactid" Type="Edm.Guid"/></EntityType>
<EntityContainer Name="System"><EntitySet Name="accounts" EntityType="Microsoft.Dynamics.CRM.account"/><EntitySet Name="contacts" EntityType="Microsoft.Dynamics.CRM.contact"/></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>`

// Whatever document can be read either is refused or makes a model whose own
// document can be read again and means the same tables.
func FuzzFromCSDL(f *testing.F) {
	f.Add(smallDocument)
	f.Add(strings.ReplaceAll(smallDocument, `Property="_primarycontactid_value"`, `Property="gone"`))
	f.Add(strings.ReplaceAll(smallDocument, `Name="a_cid"`, `Name="accountid"`))
	f.Add(strings.ReplaceAll(smallDocument, `mscrm.contact`, `mscrm.nobody`))
	f.Add(strings.ReplaceAll(smallDocument, `BaseType="mscrm.crmbaseentity"`, `BaseType="mscrm.account"`))
	f.Add(strings.ReplaceAll(smallDocument, `"statecode"`, `"_"`))
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := csdl.ParseCSDL(strings.NewReader(text))
		if err != nil {
			return
		}
		m, err := FromCSDL(doc)
		if err != nil {
			return
		}
		for _, x := range m.Tables {
			x.Definition()
			for _, c := range x.Columns {
				c.Definition(x)
			}
		}
		if err := m.CSDL().Write(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSmallDocument(t *testing.T) {
	doc, err := csdl.ParseCSDL(strings.NewReader(smallDocument))
	if err != nil {
		t.Fatal(err)
	}
	m, err := FromCSDL(doc)
	if err != nil {
		t.Fatal(err)
	}
	a := m.Table("account")
	if got := a.Column("revenue").Kind; got != "Money" {
		t.Errorf("revenue: got kind %s, want Money", got)
	}
	if got := a.Column("entityimage").Kind; got != "Image" {
		t.Errorf("entityimage: got kind %s, want Image", got)
	}
	r := m.Relationship("a_c")
	if r == nil || r.Intersect != "a_c" || r.Attribute1 != "accountid" || r.Attribute2 != "contactid" || !m.Table("a_c").Intersect {
		t.Errorf("N:N: got %+v", r)
	}
}

package sample

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod/internal/emulator/dataverse/entity"
	"allod/internal/odata/csdl"
)

func model(t testing.TB) *entity.Model {
	t.Helper()
	m, err := Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestModelWhole(t *testing.T) {
	m := model(t)
	for _, x := range m.Tables {
		if x.Column(x.PrimaryID) == nil {
			t.Errorf("%s: no column %s", x.LogicalName, x.PrimaryID)
		}
		for _, c := range x.Columns {
			for _, target := range c.Targets {
				if m.Table(target) == nil {
					t.Errorf("%s.%s refers to %s, which does not exist", x.LogicalName, c.LogicalName, target)
				}
			}
		}
	}
	for _, r := range m.Relationships {
		if r.Intersect == "" && r.Referenced != "owner" && m.Table(r.Referenced) == nil {
			t.Errorf("relationship %s: no table %s", r.SchemaName, r.Referenced)
		}
	}
	if r := m.Lookup(m.Table("alp_loyaltycard"), "alp_account", "account"); r == nil || r.ReferencingNav != "alp_Account" {
		t.Errorf("bind name of the custom lookup: %+v", r)
	}
	if r := m.Lookup(m.Table("task"), "regardingobjectid", "account"); r == nil || r.ReferencingNav != "regardingobjectid_account_task" {
		t.Errorf("bind name of an activity: %+v", r)
	}
	t.Logf("%d tables, %d relationships", len(m.Tables), len(m.Relationships))
}

// The document of the model, read as any real one, has the same properties,
// keys and navigation properties.
func TestModelThroughDocument(t *testing.T) {
	m := model(t)
	var buf bytes.Buffer
	if err := m.CSDL().Write(&buf); err != nil {
		t.Fatal(err)
	}
	doc, err := csdl.ParseCSDL(&buf)
	if err != nil {
		t.Fatal(err)
	}
	again, err := entity.FromCSDL(doc)
	if err != nil {
		t.Fatal(err)
	}
	type shape struct{ Set, Key, ID, Base string }
	for _, x := range m.Tables {
		y := again.Table(x.LogicalName)
		if y == nil {
			t.Errorf("%s is lost", x.LogicalName)
			continue
		}
		if diff := cmp.Diff(shape{x.SetName, x.ODataKey, x.PrimaryID, x.BaseType}, shape{y.SetName, y.ODataKey, y.PrimaryID, y.BaseType}); diff != "" {
			t.Errorf("%s (-want +got)\n%s", x.LogicalName, diff)
		}
		for _, c := range x.Columns {
			if c.ValidOData && (y.Column(c.LogicalName) == nil || y.Column(c.LogicalName).EdmType != c.EdmType) {
				t.Errorf("%s.%s is lost", x.LogicalName, c.LogicalName)
			}
		}
	}
	if got, want := len(again.Relationships), len(m.Relationships); got != want {
		t.Errorf("relationships: got %d, want %d", got, want)
	}
}

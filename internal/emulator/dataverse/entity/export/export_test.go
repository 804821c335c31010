package export

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/odata/csdl"
)

// shared opens a file made by others, unzipped; the test is skipped where it
// is not there.
func shared(t testing.TB, name string) io.Reader {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "..", "..", "..", "shared", "data", "dataverse", name))
	if err != nil {
		t.Skipf("data made by others is absent: %v", err)
	}
	t.Cleanup(func() { _ = f.Close() }) // read only
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func realModel(t testing.TB) *entity.Model {
	t.Helper()
	doc, err := csdl.ParseCSDL(shared(t, "csdl-jag-spd-spice.xml.gz"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := entity.FromCSDL(doc)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What is derived from $metadata alone says the same of the columns both know
// as the exports of another organisation say: whether they can be written.
func TestDerivedValidityEqualsExports(t *testing.T) {
	m := realModel(t)
	for _, name := range []string{"account", "connection", "team", "systemform"} {
		want, err := Read(shared(t, "entitymetadata-"+name+".xml.gz"))
		if err != nil {
			t.Fatal(err)
		}
		both := 0
		for _, w := range want.Columns {
			c := m.Table(name).Column(w.LogicalName)
			if c == nil || c.LogicalName != w.LogicalName {
				continue
			}
			both++
			type flags struct{ create, update, read, odata bool }
			got, wanted := flags{c.ValidForCreate, c.ValidForUpdate, c.ValidForRead, c.ValidOData}, flags{w.ValidForCreate, w.ValidForUpdate, w.ValidForRead, w.ValidOData}
			if got != wanted {
				t.Errorf("%s.%s (%s, export %s): got %+v, want %+v", name, w.LogicalName, c.Kind, w.Kind, got, wanted)
			}
			if c.Kind != w.Kind {
				t.Errorf("%s.%s: got kind %s, want %s", name, w.LogicalName, c.Kind, w.Kind)
			}
		}
		t.Logf("%s: %d columns in both", name, both)
	}
}

func TestRefine(t *testing.T) {
	m := realModel(t)
	for _, name := range []string{"account", "connection", "team", "systemform"} {
		if err := Refine(m, shared(t, "entitymetadata-"+name+".xml.gz")); err != nil {
			t.Fatal(err)
		}
		want, err := Read(shared(t, "entitymetadata-"+name+".xml.gz"))
		if err != nil {
			t.Fatal(err)
		}
		got := m.Table(name)
		if got.MetadataID != want.MetadataID || got.SchemaName != want.SchemaName {
			t.Errorf("%s: id %s, want %s", name, got.MetadataID, want.MetadataID)
		}
		for _, w := range want.Columns {
			c := got.Column(w.LogicalName)
			if c == nil || c.ValidForCreate != w.ValidForCreate || c.ValidForUpdate != w.ValidForUpdate || c.Number != w.Number || c.MetadataID != w.MetadataID || c.Kind != w.Kind || c.MaxLength != w.MaxLength {
				t.Errorf("%s.%s: got %+v, want %+v", name, w.LogicalName, c, w)
			}
		}
	}
	o := m.Table("account").Column("industrycode").OptionSet.Options
	if len(o) != 33 || o[0].Label != "Accounting" {
		t.Errorf("account.industrycode: %d choices, first %+v", len(o), o)
	}
	if r := m.Relationship("lk_accountbase_modifiedonbehalfby"); r.Cascade.Delete != "NoCascade" || r.MetadataID.String() != "2074fc1d-84a2-48ac-a47c-fcf1d249a052" {
		t.Errorf("relationship: %+v", r)
	}
}

func TestRefineBadInput(t *testing.T) {
	m := &entity.Model{}
	m.Seal()
	for _, tc := range []struct {
		text string
		want allod.Kind
	}{
		{"", allod.Invalid},
		{"<html/>", allod.Invalid},
		{"<EntityMetadata/>", allod.Invalid},
		{"<EntityMetadata><LogicalName>x</LogicalName>", allod.Invalid},
		{"<EntityMetadata><LogicalName>x</LogicalName></EntityMetadata>", allod.NotFound},
	} {
		if got := allod.KindOf(Refine(m, strings.NewReader(tc.text))); got != tc.want {
			t.Errorf("%q: got %v, want %v", tc.text, got, tc.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("<EntityMetadata><LogicalName>x</LogicalName><Attributes><AttributeMetadata><LogicalName>y</LogicalName><ColumnNumber>-1</ColumnNumber></AttributeMetadata></Attributes></EntityMetadata>")
	f.Add("<EntityMetadata>")
	f.Fuzz(func(t *testing.T, text string) {
		x, err := Read(strings.NewReader(text))
		if (x == nil) == (err == nil) {
			t.Errorf("table %v, error %v", x, err)
		}
	})
}

package entity

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"allod/internal/odata/csdl"
)

var realDocuments = []string{"csdl-jag-spd-spice.xml.gz", "csdl-embc-dfa.xml.gz"}

// shared opens a file made by others, unzipped; the test is skipped where it
// is not there.
func shared(t testing.TB, name string) io.Reader {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "..", "..", "shared", "data", "dataverse", name))
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

func realModel(t testing.TB, name string) *Model {
	t.Helper()
	doc, err := csdl.ParseCSDL(shared(t, name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := FromCSDL(doc)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFromCSDL(t *testing.T) {
	m := realModel(t, realDocuments[0])
	if got, want := len(m.Tables), 302; got != want {
		t.Errorf("tables: got %d, want %d", got, want)
	}
	sets, lookups, nn, untargeted := 0, 0, 0, 0
	for _, x := range m.Tables {
		if x.SetName != "" {
			sets++
		}
		if x.PrimaryID == "" || x.Column(x.PrimaryID) == nil && !x.Abstract {
			t.Errorf("%s: primary key %q is no column", x.LogicalName, x.PrimaryID)
		}
		for _, c := range x.Columns {
			if c.Kind == "" {
				t.Errorf("%s.%s has no kind", x.LogicalName, c.LogicalName)
			}
			if c.Kind == "Virtual" && c.EdmType != "" {
				t.Errorf("%s.%s is an OData property of unknown kind, type %s", x.LogicalName, c.LogicalName, c.EdmType)
			}
			if c.Kind == "Lookup" {
				lookups++
				if len(c.Targets) == 0 {
					untargeted++
					t.Logf("no target: %s.%s", x.LogicalName, c.LogicalName)
				}
			}
		}
	}
	for _, r := range m.Relationships {
		if r.Intersect != "" {
			nn++
			it := m.Table(r.Intersect)
			if it == nil || it.Column(r.Attribute1) == nil || it.Column(r.Attribute2) == nil || r.Attribute1 == r.Attribute2 {
				t.Errorf("N:N %s: intersect %s(%s,%s) is not whole", r.SchemaName, r.Intersect, r.Attribute1, r.Attribute2)
			}
		} else if m.Table(r.Referencing).Column(r.ReferencingAttr) == nil {
			t.Errorf("1:N %s: no column %s.%s", r.SchemaName, r.Referencing, r.ReferencingAttr)
		}
	}
	if sets != 301 || nn != 38 {
		t.Errorf("got %d sets and %d N:N relationships, want 301 and 38", sets, nn)
	}
	t.Logf("%d sets, %d relationships, %d lookups (%d without target), %d N:N", sets, len(m.Relationships), lookups, untargeted, nn)
}

func TestPolymorphicAndOwner(t *testing.T) {
	m := realModel(t, realDocuments[0])
	contact := m.Table("contact")
	c := contact.Column("_parentcustomerid_value")
	if diff := cmp.Diff([]string{"account", "contact"}, c.Targets); diff != "" || c.Kind != "Customer" {
		t.Errorf("contact.parentcustomerid: %s, targets (-want +got)\n%s", c.Kind, diff)
	}
	if r := m.Lookup(contact, "parentcustomerid", "account"); r == nil || r.ReferencingNav != "parentcustomerid_account" {
		t.Errorf("bind name of contact.parentcustomerid to account: got %+v", r)
	}
	task := m.Table("task")
	if r := m.Lookup(task, "regardingobjectid", "account"); r == nil || r.ReferencingNav != "regardingobjectid_account_task" {
		t.Errorf("bind name of task.regardingobjectid to account: got %+v", r)
	}
	if r := m.Lookup(task, "ownerid", "team"); r == nil || r.Referenced != "owner" {
		t.Errorf("owner of task: got %+v", r)
	}
	user := m.Table("systemuser")
	if user.PrimaryID != "systemuserid" || user.ODataKey != "ownerid" || !user.Column("ownerid").Hidden {
		t.Errorf("systemuser keys: %s, %s", user.PrimaryID, user.ODataKey)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, name := range realDocuments {
		m := realModel(t, name)
		var buf bytes.Buffer
		if err := m.CSDL().Write(&buf); err != nil {
			t.Fatal(err)
		}
		doc, err := csdl.ParseCSDL(bytes.NewReader(buf.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		again, err := FromCSDL(doc)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range m.Tables {
			if got := again.Tables[i]; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: table %s (-first +second)\n%.2000s", name, want.LogicalName, cmp.Diff(want, got, cmpopts.IgnoreUnexported(Table{})))
			}
		}
		if !reflect.DeepEqual(m.Relationships, again.Relationships) {
			t.Errorf("%s: relationships (-first +second)\n%.2000s", name, cmp.Diff(m.Relationships, again.Relationships))
		}
	}
}

// sorted copies the type with everything in order of name and without
// Nullable, which navigation properties carry at random.
func sorted(et *csdl.EntityType) *csdl.EntityType {
	c := *et
	c.Properties = slices.SortedFunc(slices.Values(et.Properties), func(a, b csdl.Property) int { return strings.Compare(a.Name, b.Name) })
	c.Navigation = slices.SortedFunc(slices.Values(et.Navigation), func(a, b csdl.NavigationProperty) int { return strings.Compare(a.Name, b.Name) })
	for i := range c.Navigation {
		c.Navigation[i].NotNull = false
	}
	return &c
}

func bindings(s *csdl.EntitySet) []csdl.Binding {
	return slices.SortedFunc(slices.Values(s.Bindings), func(a, b csdl.Binding) int { return strings.Compare(a.Path, b.Path) })
}

func TestDocumentEqualsOriginal(t *testing.T) {
	for _, name := range realDocuments {
		m := realModel(t, name)
		got := m.CSDL()
		for _, s := range m.Document.Schemas {
			for _, want := range s.EntityTypes {
				et := got.EntityType(namespace + "." + want.Name)
				if et == nil {
					t.Errorf("%s: type %s is missing", name, want.Name)
					continue
				}
				if a, b := sorted(want), sorted(et); !reflect.DeepEqual(a, b) {
					if diff := cmp.Diff(a, b, cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("%s: type %s (-original +made)\n%.1500s", name, want.Name, diff)
					}
				}
			}
			if s.Container == nil {
				continue
			}
			for _, want := range s.Container.EntitySets {
				if diff := cmp.Diff(bindings(want), bindings(got.EntitySet(want.Name)), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: set %s (-original +made)\n%.1500s", name, want.Name, diff)
				}
			}
			if got, want := len(got.Schemas[0].Container.EntitySets), len(s.Container.EntitySets); got != want {
				t.Errorf("%s: got %d sets, want %d", name, got, want)
			}
		}
	}
}

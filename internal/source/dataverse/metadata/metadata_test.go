package metadata

import (
	"compress/gzip"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
)

// dataDir holds exports of real organisations (see its NOTE.md).
const dataDir = "../../../../../shared/data/dataverse"

func open(t *testing.T, name string) *gzip.Reader {
	t.Helper()
	f, err := os.Open(filepath.Join(dataDir, name))
	if os.IsNotExist(err) {
		t.Skipf("%s is not here: %v", name, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // only read
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

type xmlAttribute struct {
	LogicalName           string
	AttributeOf           string
	AttributeType         string
	IsLogical             bool
	IsValidForCreate      bool
	IsValidForRead        bool
	IsValidForUpdate      bool
	IsValidODataAttribute bool
	SourceType            string
	CalculationOf         string
	TypeName              string `xml:"AttributeTypeName>Value"`
}

type xmlEntity struct {
	LogicalName        string
	SchemaName         string
	EntitySetName      string
	PrimaryIdAttribute string
	Attributes         []xmlAttribute `xml:"Attributes>AttributeMetadata"`
}

// adapt makes the JSON shape out of an XML export.
func adapt(x xmlEntity) Entity {
	e := Entity{LogicalName: x.LogicalName, SchemaName: x.SchemaName, EntitySetName: x.EntitySetName, PrimaryIDAttribute: x.PrimaryIdAttribute, TableType: "Standard"}
	for _, a := range x.Attributes {
		out := Attribute{
			LogicalName: a.LogicalName, AttributeOf: a.AttributeOf, AttributeType: a.AttributeType, IsLogical: a.IsLogical,
			IsValidForCreate: a.IsValidForCreate, IsValidForRead: a.IsValidForRead, IsValidForUpdate: a.IsValidForUpdate,
			IsValidODataAttribute: &a.IsValidODataAttribute, CalculationOf: a.CalculationOf,
		}
		out.AttributeTypeName.Value = a.TypeName
		if len(a.SourceType) == 1 {
			v := int(a.SourceType[0] - '0')
			out.SourceType = &v
		}
		e.Attributes = append(e.Attributes, out)
	}
	return e
}

// TestUnwritableColumnsEqualRealExports compares our classification with what
// four exports of a cloud organisation say.
func TestUnwritableColumnsEqualRealExports(t *testing.T) {
	for _, name := range []string{"account", "connection", "team", "systemform"} {
		t.Run(name, func(t *testing.T) {
			var x xmlEntity
			if err := xml.NewDecoder(open(t, "entitymetadata-"+name+".xml.gz")).Decode(&x); err != nil {
				t.Fatal(err)
			}
			if len(x.Attributes) < 30 {
				t.Fatalf("got %d attributes", len(x.Attributes))
			}
			var want, got []string
			for _, a := range x.Attributes {
				if a.IsValidForRead && !a.IsValidForCreate && !a.IsValidForUpdate {
					want = append(want, a.LogicalName)
				}
			}
			s, err := Build(allod.Identity{}, []Entity{adapt(x)})
			if err != nil {
				t.Fatal(err)
			}
			table := s.Table(name)
			if got, want := len(table.Columns), len(x.Attributes); got != want {
				t.Errorf("got %d columns, want %d", got, want)
			}
			closed := []string{allod.NotWritableMetadata, allod.NotWritableComputed, allod.NotWritablePlatform}
			last := 0
			for _, c := range table.Columns {
				if r := rank(&c); r < last {
					t.Errorf("%s: a column with cells stands behind one without", c.Name)
				} else {
					last = r
				}
				if c.Unwritable != "" && !slices.Contains(closed, c.Unwritable) {
					t.Errorf("%s: reason %q is not in the closed list", c.Name, c.Unwritable)
				}
				if c.Unwritable != "" && c.Unreadable != "not valid for read" {
					got = append(got, c.Name)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if d := cmp.Diff(got, want); d != "" {
				t.Errorf("unwritable columns (-got +want):\n%s", d)
			}
			if c := table.Column("entityimage"); c != nil && (c.Type != allod.File || c.Derived != "") {
				t.Errorf("entityimage: got type %v, derived %q", c.Type, c.Derived)
			}
		})
	}
}

var entitySet = regexp.MustCompile(`<EntitySet Name="[^"]*" EntityType="[^"]*\.([^."]+)"`)

// TestEveryEntitySetHasAReviewedClass reads the $metadata of two organisations:
// each table stands in the list by name, or is caught by a rule for names.
func TestEveryEntitySetHasAReviewedClass(t *testing.T) {
	exact, rules := classes()
	for _, file := range []string{"csdl-jag-spd-spice.xml.gz", "csdl-embc-dfa.xml.gz"} {
		var b strings.Builder
		if _, err := io.Copy(&b, open(t, file)); err != nil {
			t.Fatal(err)
		}
		found := entitySet.FindAllStringSubmatch(b.String(), -1)
		if len(found) < 300 {
			t.Fatalf("%s: got %d entity sets", file, len(found))
		}
		for _, m := range found {
			if _, ok := exact[m[1]]; ok {
				continue
			}
			if !slices.ContainsFunc(rules, func(r classRow) bool { return matches(r.name, m[1]) }) {
				t.Errorf("%s: table %s has no class", file, m[1])
			}
		}
	}
}

func TestClassListIsWellFormed(t *testing.T) {
	known := []allod.Class{allod.ClassData, allod.ClassLink, allod.ClassSecurity, allod.ClassConfiguration, allod.ClassPlatform}
	seen := map[string]bool{}
	for line := range strings.Lines(classList) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(strings.TrimSpace(line), "\t")
		if len(cells) != 4 || cells[2] == "" || cells[3] == "" || !slices.Contains(known, allod.Class(cells[1])) {
			t.Errorf("bad line %q", line)
			continue
		}
		if seen[cells[0]] {
			t.Errorf("%s stands there twice", cells[0])
		}
		seen[cells[0]] = true
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name string
		e    Entity
		want allod.Class
	}{
		{"listed", Entity{LogicalName: "account"}, allod.ClassData},
		{"listed intersect of security", Entity{LogicalName: "systemuserroles", IsIntersect: true}, allod.ClassSecurity},
		{"custom", Entity{LogicalName: "new_boat", IsCustomEntity: true}, allod.ClassData},
		{"custom intersect", Entity{LogicalName: "new_boat_contact", IsIntersect: true}, allod.ClassLink},
		{"unknown platform table", Entity{LogicalName: "somethingnew"}, allod.ClassPlatform},
		{"process", Entity{LogicalName: "new_process", IsBPFEntity: true}, allod.ClassData},
		{"part of a site", Entity{LogicalName: "powerpagecomponent"}, allod.ClassConfiguration},
	} {
		if got, why := Classify(&c.e); got != c.want || why == "" {
			t.Errorf("%s: got %s (%q), want %s", c.name, got, why, c.want)
		}
	}
}

package csdl_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"allod"
	"allod/internal/odata/csdl"
)

func realFiles(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("../../../../shared/data/dataverse/csdl-*.xml.gz")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Skip("no real $metadata: ../shared/data is absent")
	}
	files := map[string][]byte{}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = body
	}
	return files
}

var sameModel = cmpopts.IgnoreUnexported(csdl.Model{})

func TestRealFilesRoundTrip(t *testing.T) {
	for name, body := range realFiles(t) {
		t.Run(name, func(t *testing.T) {
			m, err := csdl.ParseCSDL(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Ignored) > 0 {
				t.Errorf("left out %v", m.Ignored)
			}
			var out bytes.Buffer
			if err := m.Write(&out); err != nil {
				t.Fatal(err)
			}
			again, err := csdl.ParseCSDL(bytes.NewReader(out.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(again, m) {
				t.Errorf("parse(write(m)) differs from m:\n%s", cmp.Diff(again, m, sameModel))
			}
			// The writer keeps every start tag: nothing was lost on the way in.
			for _, tag := range []string{
				"<Property ", "<NavigationProperty ", "<ReferentialConstraint ", "<NavigationPropertyBinding ",
				"<Parameter ", "<ReturnType ", "<Member ", "<Annotation ", "<Record ", "<PropertyValue ", "<EntitySet ", "Nullable=\"false\"",
				"Unicode=\"false\"", "Scale=", "Partner=", "ContainsTarget=", "IsFlags=", "IsComposable=", "AppliesTo=", "Abstract=",
			} {
				if got, want := bytes.Count(out.Bytes(), []byte(tag)), bytes.Count(body, []byte(tag)); got != want {
					t.Errorf("%s: got %d, want %d", tag, got, want)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for name, body := range realFiles(b) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := csdl.ParseCSDL(bytes.NewReader(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestWrittenIsValid holds what Write emits against the schema of OASIS, with
// xmllint where that is installed.
func TestWrittenIsValid(t *testing.T) {
	files := realFiles(t)
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("xmllint is not installed")
	}
	for name, body := range files {
		m, err := csdl.ParseCSDL(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "metadata.xml")
		var out bytes.Buffer
		if err := m.Write(&out); err != nil {
			t.Fatal(err)
		}
		// Dataverse writes Variable where edm.xsd wants variable; nothing else
		// may differ.
		valid := bytes.ReplaceAll(out.Bytes(), []byte(`Scale="Variable"`), []byte(`Scale="variable"`))
		if err := os.WriteFile(file, valid, 0o600); err != nil {
			t.Fatal(err)
		}
		said, err := exec.Command(lint, "--nonet", "--noout", "--schema", "../../../../shared/data/odata/edmx.xsd", file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%.2000s", name, err, said)
		}
	}
}

func TestLookup(t *testing.T) {
	const doc = `<?xml version="1.0"?><edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>
<Schema Namespace="A.B" Alias="x" xmlns="http://docs.oasis-open.org/odata/ns/edm">
<EntityType Name="base" Abstract="true"><Key><PropertyRef Name="id"/></Key><Property Name="id" Type="Edm.Guid" Nullable="false"/></EntityType>
<EntityType Name="t" BaseType="x.base"><Property Name="name" Type="Edm.String" MaxLength="max"/><NavigationProperty Name="n" Type="Collection(x.t)"/></EntityType>
<EntityType Name="loop" BaseType="A.B.loop"/>
<EnumType Name="e"><Member Name="a"/><Member Name="b" Value="5"/><Member Name="c"/></EnumType>
<Function Name="f" IsBound="true"><Parameter Name="p" Type="x.t"/><ReturnType Type="Edm.Boolean"/></Function>
<EntityContainer Name="c"><EntitySet Name="ts" EntityType="x.t"><NavigationPropertyBinding Path="n" Target="ts"/></EntitySet>
<Singleton Name="me" Type="x.t"/><FunctionImport Name="fi" Function="x.f"/><ActionImport Name="ai" Action="x.a"/></EntityContainer>
<Unheard Of="it"/></Schema></edmx:DataServices></edmx:Edmx>`
	m, err := csdl.ParseCSDL(strings.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	typ := m.EntityType("x.t")
	if typ == nil || typ != m.EntityType("A.B.t") {
		t.Fatal("x.t and A.B.t are not the same type")
	}
	check := func(what string, ok bool) {
		t.Helper()
		if !ok {
			t.Error(what)
		}
	}
	check("inherited key", len(m.Key(typ)) == 1 && m.Key(typ)[0].Name == "id")
	check("inherited property", m.Property(typ, "id") != nil && m.Property(typ, "id").NotNull)
	check("all properties, base first", len(m.Properties(typ)) == 2 && m.Properties(typ)[0].Name == "id")
	check("max length", m.Property(typ, "name").MaxLength == csdl.MaxLengthMax)
	check("navigation", m.NavigationProperty(typ, "n").Collection && m.NavigationProperty(typ, "n").Type == "x.t")
	check("set", m.EntitySet("ts") != nil && m.SetOf("A.B.t") == m.EntitySet("ts") && m.EntitySet("ts").Binding("n") == "ts")
	check("is a", m.IsA(typ, "x.base") && !m.IsA(typ, "x.loop"))
	check("a type that is its own base", len(m.Bases(m.EntityType("x.loop"))) == 1)
	check("enum values", m.EnumType("x.e").Members[2].Value == 6)
	check("function", len(m.Functions("x.f")) == 1 && m.FunctionImport("fi").Operation == "x.f" && m.ActionImport("ai") != nil && m.Singleton("me") != nil)
	check("unknown names", m.EntityType("x.no") == nil && m.EntitySet("no") == nil && m.ComplexType("x.t") == nil)
	if diff := cmp.Diff(m.Ignored, []string{"Unheard"}); diff != "" {
		t.Error(diff)
	}
	keys := [][]string{{"a"}, {"b", "c"}}
	typ.Annotations = []csdl.Annotation{csdl.AlternateKeysAnnotation(keys)}
	if diff := cmp.Diff(typ.AlternateKeys(), keys); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	open := `<edmx:Edmx Version="4.0" xmlns:edmx="e"><edmx:DataServices><Schema Namespace="a">`
	end := `</Schema></edmx:DataServices></edmx:Edmx>`
	for name, doc := range map[string]string{
		"empty": "", "html": "<html><body>hello</body></html>", "not XML": "{}", "breaks off": open, "old version": `<Edmx Version="1.0"/>`,
		"document type": `<!DOCTYPE x [<!ENTITY a "b">]>` + open + end, "no name": open + `<EntityType/>` + end, "wrong end": open + `</Schemo>` + end,
		"bad boolean": open + `<EntityType Name="t" Abstract="perhaps"/>` + end, "bad number": open + `<EnumType Name="t"><Member Name="m" Value="x"/></EnumType>` + end,
		"bad length": open + `<EntityType Name="t"><Property Name="p" Type="Edm.String" MaxLength="-5"/></EntityType>` + end,
		"deep":       open + strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100) + end, "two roots": open + end + open + end, "other charset": `<?xml version="1.0" encoding="latin1"?>` + open + end,
		"entity": open + `<EntityType Name="&x;"/>` + end, "no schema name": `<Edmx Version="4.0"><DataServices><Schema/></DataServices></Edmx>`,
	} {
		if _, err := csdl.ParseCSDL(strings.NewReader(doc)); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v, want an Invalid error", name, err)
		}
	}
	for kind, cause := range map[allod.Kind]error{allod.Denied: allod.Errorf(allod.Denied, "no"), allod.Unavailable: io.ErrUnexpectedEOF} {
		broken := io.MultiReader(strings.NewReader(open), iotest.ErrReader(cause))
		if _, err := csdl.ParseCSDL(broken); allod.KindOf(err) != kind {
			t.Errorf("a reader that fails: got %v, want Kind %v", err, kind)
		}
	}
}

func FuzzParseCSDL(f *testing.F) {
	f.Add(`<edmx:Edmx Version="4.0" xmlns:edmx="e"><edmx:Reference Uri="u"><edmx:Include Namespace="n" Alias="a"/></edmx:Reference><edmx:DataServices><Schema Namespace="a" Alias="b">` +
		`<EntityType Name="t" BaseType="b.u"><Key><PropertyRef Name="p"/></Key><Property Name="p" Type="Edm.String" MaxLength="5" Scale="Variable"/>` +
		`<NavigationProperty Name="n" Type="Collection(b.t)"><ReferentialConstraint Property="p" ReferencedProperty="p"/></NavigationProperty>` +
		`<Annotation Term="x.y" String="a&quot;b"><Collection><String>t</String><Record Type="z"/></Collection></Annotation></EntityType>` +
		`<EnumType Name="e"><Member Name="m" Value="1"/></EnumType><Action Name="a"><Parameter Name="p" Type="b.t"/><ReturnType Type="b.t"/></Action>` +
		`<EntityContainer Name="c"><EntitySet Name="s" EntityType="b.t"/></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>`)
	f.Fuzz(func(t *testing.T, doc string) {
		m, err := csdl.ParseCSDL(strings.NewReader(doc))
		if err != nil {
			if allod.KindOf(err) != allod.Invalid {
				t.Fatalf("got %v, want an Invalid error", err)
			}
			return
		}
		var out bytes.Buffer
		if err := m.Write(&out); err != nil {
			t.Fatal(err)
		}
		again, err := csdl.ParseCSDL(bytes.NewReader(out.Bytes()))
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%s", err, out.String())
		}
		m.Ignored = nil
		if diff := cmp.Diff(again, m, sameModel, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

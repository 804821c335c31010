package install

import (
	"archive/zip"
	"bytes"
	"testing"
)

// small is a package with one of everything that the reader looks at.
func small(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{
		"[Content_Types].xml": "<Types />",
		"solution.xml": `<ImportExportXml><SolutionManifest><UniqueName>S</UniqueName><Version>1.0</Version><Managed>0</Managed>` +
			`<RootComponents><RootComponent type="1" schemaName="new_a" behavior="0" /></RootComponents></SolutionManifest></ImportExportXml>`,
		"customizations.xml": `<ImportExportXml><Entities><Entity><Name>new_A</Name><EntityInfo><entity Name="new_A"><attributes>` +
			`<attribute PhysicalName="new_Name"><Type>nvarchar</Type><LogicalName>new_name</LogicalName><IsCustomField>1</IsCustomField><MaxLength>10</MaxLength></attribute>` +
			`</attributes></entity></EntityInfo></Entity></Entities><Workflows><Workflow WorkflowId="{x}" Name="W"><JsonFileName>/Workflows/w.json</JsonFileName></Workflow></Workflows></ImportExportXml>`,
		"Workflows/w.json": "{}",
	} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRead(t *testing.T) {
	p, err := read(small(t))
	if err != nil {
		t.Fatal(err)
	}
	if p.Solution.UniqueName != "S" || len(p.Tables) != 1 || len(p.Tables[0].Info.Columns) != 1 || string(p.file(p.Processes[0].JsonFileName)) != "{}" {
		t.Errorf("got %+v", p.customizations)
	}
}

func FuzzRead(f *testing.F) {
	whole := small(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := read(raw)
		if err == nil && p.Solution.UniqueName == "" {
			t.Error("a solution without a name")
		}
	})
}

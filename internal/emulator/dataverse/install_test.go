package dataverse_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/sample"
)

// standard is the company's model without what the company added to it.
func standard(t *testing.T) *entity.Model {
	t.Helper()
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	own := func(name string) bool { return strings.HasPrefix(name, "alp_") }
	m.Tables = slices.DeleteFunc(m.Tables, func(x *entity.Table) bool { return own(x.LogicalName) })
	for _, x := range m.Tables {
		x.Columns = slices.DeleteFunc(x.Columns, func(c *entity.Column) bool { return own(c.LogicalName) })
		x.Keys = slices.DeleteFunc(x.Keys, func(k *entity.Key) bool { return own(k.SchemaName) })
	}
	m.Relationships = slices.DeleteFunc(m.Relationships, func(r *entity.Relationship) bool {
		return own(r.SchemaName) || own(r.Referencing) || own(r.Referenced) || own(r.Intersect)
	})
	m.Seal()
	return m
}

// A package that one organisation exported makes another hold the same: its
// tables work, and what it exports is what was imported.
func importSolution(t *testing.T, from *client) {
	to := start(t, dvemu.Options{Model: standard(t)})
	const export = `{"SolutionName":"AlpenrandLoyalty","Managed":false}`
	exported := from.want(200, "POST", "ExportSolution", export)
	file := exported.json()["ExportSolutionFile"].(string)
	to.want(404, "GET", "alp_loyaltycards", "")

	staged := to.want(200, "POST", "StageSolution", `{"CustomizationFile":"`+file+`"}`).json()["StageSolutionResults"]
	if at(staged, "StageSolutionStatus") != "Passed" || at(staged, "SolutionDetails", "SolutionUniqueName") != "AlpenrandLoyalty" {
		t.Errorf("staged: got %v", staged)
	}
	job := to.want(200, "POST", "ImportSolutionAsync", fmt.Sprintf(`{"OverwriteUnmanagedCustomizations":true,"PublishWorkflows":true,"SolutionParameters":{"StageSolutionUploadId":%q}}`, at(staged, "StageSolutionUploadId"))).json()
	if op := to.want(200, "GET", "asyncoperations("+job["AsyncOperationId"].(string)+")", "").json(); op["statuscode"] != 30.0 {
		t.Fatalf("job: got %v", op["message"])
	}
	result := to.want(200, "GET", "RetrieveSolutionImportResult(ImportJobId="+job["ImportJobKey"].(string)+")", "").json()["SolutionOperationResult"]
	if at(result, "Status") != "Passed" || len(at(result, "WarningMessages").([]any)) != 1 { // a column of a type that cannot be created
		t.Errorf("result: got %v", result)
	}

	shop := to.want(204, "POST", "alp_stores", `{"alp_name":"Shop","alp_area":12.5}`).id()
	account := to.want(204, "POST", "accounts", `{"name":"Huber","alp_taxnumber":"ATU1"}`).id()
	card := to.want(204, "POST", "alp_loyaltycards", `{"alp_name":"Card","alp_cardnumber":"LC-1","alp_points":300,"alp_discount":0.5,"alp_tier":100000001,"alp_interests":"1,3","alp_HomeStore@odata.bind":"/alp_stores(`+shop+`)","alp_Account@odata.bind":"/accounts(`+account+`)","alp_Holder_account@odata.bind":"/accounts(`+account+`)"}`).id()
	row := to.want(200, "GET", "alp_loyaltycards(alp_cardnumber='LC-1')", "").json()
	if row["alp_loyaltycardid"] != card || row["alp_label"] != "Card of Huber" || row["alp_worth"] != 3.5 || row["_alp_homestore_value"] != shop || row["alp_interests"] != "1,3" {
		t.Errorf("row: got %v", row)
	}
	to.want(204, "POST", "alp_loyaltycards("+card+")/alp_loyaltycard_store/$ref", `{"@odata.id":"`+to.url+`/api/data/v9.2/alp_stores(`+shop+`)"}`)
	to.want(200, "GET", "alp_stores("+shop+")", "")
	if rows := to.want(200, "GET", "workflows?$select=name,category,clientdata&$filter=category eq 5", "").rows(); len(rows) != 2 || !json.Valid([]byte(rows[0]["clientdata"].(string))) {
		t.Errorf("flows: got %v", rows)
	}

	// What is not rows of components differs: numbers of tables and choices of
	// states, the column that could not be created.
	want, got := unzip(t, exported), unzip(t, to.want(200, "POST", "ExportSolution", export))
	for name := range want {
		if name == "customizations.xml" || name == "solution.xml" {
			continue
		}
		if d := cmp.Diff(want[name], got[name]); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
	}
	if len(want) != len(got) {
		t.Errorf("got %d files, want %d", len(got), len(want))
	}
	part := func(files map[string]string, name, from, to string) string {
		_, after, _ := strings.Cut(files[name], from)
		text, _, _ := strings.Cut(after, to)
		return text
	}
	for _, x := range [][3]string{
		{"solution.xml", "<SolutionManifest>", `<RootComponent type="10`},
		{"customizations.xml", "<Roles>", "<FieldSecurityProfiles"},
		{"customizations.xml", "<WebResources>", "<connectionreferences>"},
		{"customizations.xml", "<FormXml>", "<RibbonDiffXml"},
		{"customizations.xml", "<EntityKeys>", "</EntityKeys>"},
	} {
		if d := cmp.Diff(part(want, x[0], x[1], x[2]), part(got, x[0], x[1], x[2])); d != "" {
			t.Errorf("%s: -want +got\n%s", x[1], d)
		}
	}

	// Once more changes nothing and doubles nothing.
	before := to.want(200, "GET", "solutioncomponents?$count=true&$top=1", "").json()["@odata.count"]
	to.want(204, "POST", "ImportSolution", `{"OverwriteUnmanagedCustomizations":true,"PublishWorkflows":true,"ImportJobId":"00000000-0000-4000-8000-00000000000a","CustomizationFile":"`+file+`"}`)
	if after := to.want(200, "GET", "solutioncomponents?$count=true&$top=1", "").json()["@odata.count"]; after != before {
		t.Errorf("components: got %v, then %v", before, after)
	}
	to.want(200, "GET", "RetrieveSolutionImportResult(ImportJobId=00000000-0000-4000-8000-00000000000a)", "")
	if again := unzip(t, to.want(200, "POST", "ExportSolution", export)); cmp.Diff(got, again) != "" {
		t.Errorf("after a second import another package is exported: %s", cmp.Diff(got, again))
	}
}

// An import that fails leaves the schema as it was, and says why.
func importSolutionFails(t *testing.T, from *client) {
	files := unzip(t, from.want(200, "POST", "ExportSolution", `{"SolutionName":"AlpenrandLoyalty","Managed":false}`))
	zipped := func(change func(map[string]string)) string {
		own := map[string]string{}
		for name, text := range files {
			own[name] = text
		}
		change(own)
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, text := range own {
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
		return base64.StdEncoding.EncodeToString(b.Bytes())
	}
	to := start(t, dvemu.Options{Model: standard(t)})
	broken := zipped(func(f map[string]string) {
		f["Formulas/alp_store-alp_cards.xaml"] = "COUNT(alp_loyaltycard, alp_nobody)"
	})
	if a := to.want(400, "POST", "ImportSolution", `{"CustomizationFile":"`+broken+`"}`); !strings.Contains(a.Body, "alp_nobody") {
		t.Errorf("got %s", a.Body)
	}
	to.want(404, "GET", "alp_stores", "")
	to.want(400, "GET", "accounts?$select=alp_taxnumber", "")
	if rows := to.want(200, "GET", "workflows", "").rows(); len(rows) != 0 {
		t.Errorf("got %d workflows", len(rows))
	}
	job := to.want(200, "POST", "ImportSolutionAsync", `{"CustomizationFile":"`+broken+`"}`).json()
	if op := to.want(200, "GET", "asyncoperations("+job["AsyncOperationId"].(string)+")", "").json(); op["statuscode"] != 31.0 || op["message"] == nil {
		t.Errorf("job: got %v", op)
	}
	if got := at(to.want(200, "GET", "RetrieveSolutionImportResult(ImportJobId="+job["ImportJobKey"].(string)+")", "").json(), "SolutionOperationResult", "Status"); got != "Failed" {
		t.Errorf("result: got %v", got)
	}
	for _, bad := range []string{
		`{"CustomizationFile":"` + zipped(func(f map[string]string) { delete(f, "solution.xml") }) + `"}`,
		`{"CustomizationFile":"` + zipped(func(f map[string]string) { f["customizations.xml"] = "<a><b></a>" }) + `"}`,
		`{"CustomizationFile":"` + base64.StdEncoding.EncodeToString([]byte("no zip")) + `"}`, `{"CustomizationFile":"%"}`, `{}`, `[]`,
	} {
		to.want(400, "POST", "StageSolution", bad)
		to.want(400, "POST", "ImportSolution", bad)
	}
	to.want(400, "POST", "ImportSolutionAsync", `{"SolutionParameters":{"StageSolutionUploadId":"99999999-9999-4999-8999-999999999999"}}`)
	to.want(404, "GET", "RetrieveSolutionImportResult(ImportJobId=99999999-9999-4999-8999-999999999999)", "")
	to.action("set-administrator", `{"on":false}`)
	to.want(403, "POST", "StageSolution", `{"CustomizationFile":"`+broken+`"}`)
}

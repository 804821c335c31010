package dataverse_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"allod"
	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/emulator/dataverse/store"
)

// alpenrand is a server with the sample company in it.
func alpenrand(t *testing.T) *client {
	t.Helper()
	c := standardCompany(t, dvemu.Options{})
	if _, err := sample.Load(c.srv.Model(), c.srv.Store(), sample.Options{Seed: 1}); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSolutions exports and imports those of one company, which is not made
// anew for each: each leaves it as the next one needs it.
func TestSolutions(t *testing.T) {
	c := alpenrand(t)
	for _, x := range []struct {
		name string
		test func(*testing.T, *client)
	}{
		{"export", exportSolution},
		{"refused", exportSolutionRefused},
		{"async", exportSolutionAsync},
		{"import", importSolution},
		{"import fails", importSolutionFails},
		{"components join", componentsJoin},
		{"hostile texts", exportHostileTexts}, // last: it writes them
	} {
		t.Run(x.name, func(t *testing.T) {
			on := *c
			on.t = t
			x.test(t, &on)
		})
	}
}

// unzip reads the package of an answer.
func unzip(t *testing.T, a answer) map[string]string {
	t.Helper()
	text, _ := a.json()["ExportSolutionFile"].(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = string(b)
	}
	return out
}

// The package of a solution holds every component of it, in XML that can be
// read, and each file that the XML names.
func exportSolution(t *testing.T, c *client) {
	const loyalty = `{"SolutionName":"AlpenrandLoyalty","Managed":false,"ExportAutoNumberingSettings":false}`
	first := c.want(200, "POST", "ExportSolution", loyalty)
	files := unzip(t, first)
	if again := c.want(200, "POST", "ExportSolution", loyalty); again.Body != first.Body {
		t.Error("the same rows gave another package")
	}

	type root struct {
		Type     string `xml:"type,attr"`
		Schema   string `xml:"schemaName,attr"`
		ID       string `xml:"id,attr"`
		Behavior string `xml:"behavior,attr"`
	}
	var manifest struct {
		XMLName  xml.Name `xml:"ImportExportXml"`
		Manifest struct {
			UniqueName, Version, Managed string
			Publisher                    struct{ UniqueName, CustomizationPrefix string }
			Roots                        []root `xml:"RootComponents>RootComponent"`
		} `xml:"SolutionManifest"`
	}
	if err := xml.Unmarshal([]byte(files["solution.xml"]), &manifest); err != nil {
		t.Fatalf("%v\n%s", err, files["solution.xml"])
	}
	m := manifest.Manifest
	if m.UniqueName != "AlpenrandLoyalty" || m.Version != "1.4.0.2" || m.Managed != "0" || m.Publisher.CustomizationPrefix != "alp" {
		t.Errorf("manifest: got %+v", m)
	}
	kinds := map[string]int{}
	for _, r := range m.Roots {
		kinds[r.Type]++
	}
	for kind, want := range map[string]int{"1": 3, "20": 1, "26": 3, "29": 3, "60": 3, "61": 3, "80": 1, "300": 1, "380": 2} {
		if kinds[kind] != want {
			t.Errorf("components of type %s: got %d, want %d", kind, kinds[kind], want)
		}
	}

	d := xml.NewDecoder(strings.NewReader(files["customizations.xml"]))
	named, elements := 0, map[string]int{}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch x := tok.(type) {
		case xml.StartElement:
			elements[x.Name.Local]++
		case xml.CharData:
			for _, folder := range []string{"/Workflows/", "/WebResources/", "/CanvasApps/", "/Formulas/"} {
				if name := string(x); strings.HasPrefix(name, folder) {
					named++
					if files[name[1:]] == "" {
						t.Errorf("the package lacks %s", name)
					}
				}
			}
		}
	}
	if named != 11 {
		t.Errorf("customizations.xml names %d files, want 11", named)
	}
	for name, want := range map[string]int{
		"Entity": 3, "systemform": 3, "savedquery": 3, "Workflow": 3, "Role": 1, "RolePrivilege": 3, "WebResource": 3, "AppModule": 1, "CanvasApp": 1, "connectionreference": 2,
	} {
		if elements[name] != want {
			t.Errorf("<%s>: got %d, want %d", name, elements[name], want)
		}
	}
	for _, part := range []string{`<attribute PhysicalName="alp_CreditReport">`, `PhysicalName="alp_CardNumber"`, "<Name>alp_CardNumberKey</Name>", `Name="alp_loyaltycard_store"`} {
		if !strings.Contains(files["customizations.xml"], part) {
			t.Errorf("customizations.xml lacks %s", part)
		}
	}
	if strings.Contains(files["customizations.xml"], `PhysicalName="CreditLimit"`) {
		t.Error("a column of a table that the solution does not hold whole is there")
	}
	flows := 0
	for name, text := range files {
		if strings.HasPrefix(name, "Workflows/") && strings.HasSuffix(name, ".json") && json.Valid([]byte(text)) {
			flows++
		}
	}
	if flows != 2 {
		t.Errorf("got %d definitions of flows, want 2", flows)
	}
	if text := files["environmentvariabledefinitions/alp_LoyaltyServiceUrl/environmentvariablevalues.json"]; !strings.Contains(text, "https://loyalty.alpenrand.example/") {
		t.Errorf("value of a variable: got %q", text)
	}
	for _, name := range []string{"[Content_Types].xml", "environmentvariabledefinitions/alp_PointsPerEuro/environmentvariabledefinition.xml"} {
		if err := xml.Unmarshal([]byte(files[name]), new(struct{})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if other := unzip(t, c.want(200, "POST", "ExportSolution", `{"SolutionName":"alpenrandloyalty","Managed":true}`)); !strings.Contains(other["solution.xml"], "<Managed>1</Managed>") {
		t.Error("managed: not marked")
	}
}

// What cannot be exported, and who may not.
func exportSolutionRefused(t *testing.T, c *client) {
	for _, bad := range []struct {
		status     int
		body, text string
	}{
		{404, `{"SolutionName":"Nobody","Managed":false}`, "does not exist"},
		{400, `{"SolutionName":"msdynce_Sales","Managed":false}`, "Managed solutions cannot be exported"},
		{400, `{"SolutionName":"Default","Managed":false}`, "default solution"},
		{400, `{"SolutionName":"Active","Managed":false}`, "default solution"},
		{400, `{"SolutionName":"AlpenrandLoyalty"}`, "'Managed'"},
		{400, `{"Managed":false}`, "'SolutionName'"},
		{400, `[]`, "expected"},
	} {
		if a := c.want(bad.status, "POST", "ExportSolution", bad.body); !strings.Contains(a.Body, bad.text) {
			t.Errorf("%s: got %s", bad.body, a.Body)
		}
	}
	c.want(404, "GET", "ExportSolution", "")
	user := c.srv.Users()[0]
	c.action("mark", `{"name":"before"}`)
	c.action("set-administrator", `{"on":false}`)
	c.want(403, "POST", "ExportSolution", `{"SolutionName":"AlpenrandLoyalty","Managed":false}`)

	// A role that holds the privilege is enough.
	role := allod.GUID{1}
	if err := c.srv.Store().Update(func(tx *store.Tx) error {
		put := func(table string, id allod.GUID, values map[string]allod.Value) {
			var cells []store.Cell
			for column, v := range values {
				cells = append(cells, store.Cell{Column: tx.Column(table, column), Value: v})
			}
			tx.Put(table, id, cells)
		}
		put("role", role, map[string]allod.Value{"name": allod.StringValue("Exporter")})
		put("systemuserroles", allod.GUID{2}, map[string]allod.Value{"systemuserid": allod.IDValue(user.User), "roleid": allod.IDValue(role)})
		put("roleprivileges", allod.GUID{3}, map[string]allod.Value{"roleid": allod.IDValue(role), "privilegeid": allod.IDValue(access.NamedID("prvExportCustomization"))})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c.action("follow-roles", `{}`)
	c.want(200, "POST", "ExportSolution", `{"SolutionName":"AlpenrandLoyalty","Managed":false}`)
	c.action("rewind-to", `{"name":"before"}`)
}

// A job exports, and the package is fetched by the id of the job.
func exportSolutionAsync(t *testing.T, c *client) {
	const body = `{"SolutionName":"AlpenrandService","Managed":false}`
	want := c.want(200, "POST", "ExportSolution", body).json()["ExportSolutionFile"]
	job := c.want(200, "POST", "ExportSolutionAsync", body).json()
	poll := "asyncoperations(" + job["AsyncOperationId"].(string) + ")?$select=statecode,statuscode,message,friendlymessage"
	if op := c.want(200, "GET", poll, "").json(); op["statecode"] != 3.0 || op["statuscode"] != 30.0 {
		t.Errorf("job: got %v", op)
	}
	if got := c.want(200, "POST", "DownloadSolutionExportData", `{"ExportJobId":"`+job["ExportJobId"].(string)+`"}`).json()["ExportSolutionFile"]; got != want {
		t.Error("the job gave another package")
	}
	c.want(404, "POST", "DownloadSolutionExportData", `{"ExportJobId":"`+job["AsyncOperationId"].(string)+`"}`)
	c.want(400, "POST", "DownloadSolutionExportData", `{"ExportJobId":7}`)

	failed := c.want(200, "POST", "ExportSolutionAsync", `{"SolutionName":"Default","Managed":false}`).json()
	poll = "asyncoperations(" + failed["AsyncOperationId"].(string) + ")?$select=statecode,statuscode,message"
	if op := c.want(200, "GET", poll, "").json(); op["statecode"] != 3.0 || op["statuscode"] != 31.0 || op["message"] == nil {
		t.Errorf("job that fails: got %v", op)
	}
	c.want(404, "POST", "DownloadSolutionExportData", `{"ExportJobId":"`+failed["ExportJobId"].(string)+`"}`)
}

// Texts that clients write cannot break the package, nor leave its folders.
func exportHostileTexts(t *testing.T, c *client) {
	rows := c.want(200, "GET", "webresourceset?$select=name&$filter=name eq 'alp_/scripts/card.js'", "").rows()
	c.want(204, "PATCH", "webresourceset("+rows[0]["webresourceid"].(string)+")", `{"name":"../../<etc>&\"passwd","content":"not base64!"}`)
	rows = c.want(200, "GET", "systemforms?$select=name&$filter=objecttypecode eq 'alp_store'", "").rows()
	c.want(204, "PATCH", "systemforms("+rows[0]["formid"].(string)+")", `{"formxml":"<form><tabs></form>]]><!DOCTYPE x>"}`)
	c.want(204, "POST", "PublishAllXml", "{}") // only what is published is exported
	files := unzip(t, c.want(200, "POST", "ExportSolution", `{"SolutionName":"AlpenrandLoyalty","Managed":false}`))
	for name, text := range files {
		if strings.Contains(name, "..") || strings.HasPrefix(name, "/") {
			t.Errorf("file %q", name)
		}
		if strings.HasSuffix(name, ".xml") {
			if err := xml.Unmarshal([]byte(text), new(struct{})); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// What is made on behalf of a solution is a component of it, once; a solution
// nobody knows takes nothing.
func componentsJoin(t *testing.T, c *client) {
	publisher := c.want(200, "GET", "publishers?$filter=uniquename eq 'alpenrand'", "").rows()[0]["publisherid"].(string)
	c.want(204, "POST", "solutions", `{"uniquename":"New","friendlyname":"New","version":"1.0","publisherid@odata.bind":"/publishers(`+publisher+`)"}`)
	for _, name := range []string{"New", "Nobody"} {
		c.want(204, "POST", "webresourceset", `{"name":"new_/`+name+`.js","webresourcetype":3,"content":"YQ=="}`, "MSCRM.SolutionUniqueName", name)
	}
	c.want(204, "POST", "EntityDefinitions?SolutionUniqueName=New", bank("new_BankAccount"))
	for _, name := range []string{"new_Iban", "new_Bic"} {
		c.want(204, "POST", "EntityDefinitions(LogicalName='contact')/Attributes", column("String", name), "MSCRM.SolutionUniqueName", "New")
	}
	files := unzip(t, c.want(200, "POST", "ExportSolution", `{"SolutionName":"New","Managed":false}`))
	for text, want := range map[string]int{`<RootComponent `: 3, `schemaName="new_bankaccount" behavior="0"`: 1, `schemaName="contact" behavior="1"`: 1, `schemaName="new_/New.js"`: 1} {
		if got := strings.Count(files["solution.xml"], text); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string]int{`PhysicalName="new_Iban"`: 1, `PhysicalName="new_Bic"`: 1, `PhysicalName="new_AccountName"`: 1, `PhysicalName="FirstName"`: 0} {
		if got := strings.Count(files["customizations.xml"], text); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}

package dataverse_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	dvemu "allod/internal/emulator/dataverse"
)

// What protocols/dataverse.md states in sections 8 and 9 and no other test
// shows.

// pixel is an image of one pixel.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// settings changes the organisation.
func (c *client) settings(body string) {
	c.t.Helper()
	org := c.want(200, "GET", "organizations?$select=name", "").rows()[0]["organizationid"].(string)
	c.want(204, "PATCH", "organizations("+org+")", body)
}

func TestSection8_1_SettingsOfTheOrganisation(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	refused := func(code string, a answer) {
		t.Helper()
		if a.Status != 400 || a.code() != code {
			t.Errorf("got %d %s, want %s", a.Status, a.Body, code)
		}
	}
	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	note := func(name, mime, content string) answer {
		return c.do("POST", "annotations", `{"subject":"s","filename":"`+name+`","mimetype":"`+mime+`","documentbody":"`+base64.StdEncoding.EncodeToString([]byte(content))+`"}`)
	}
	column := func(name string) answer {
		return c.do("PATCH", "accounts("+acc+")/alp_creditreport", "content", "Content-Type", "application/octet-stream", "x-ms-file-name", name)
	}
	blocks := func(name, mime, content string) answer {
		tok := c.want(200, "POST", "InitializeAnnotationBlocksUpload", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.annotation"}}`).json()["FileContinuationToken"].(string)
		c.want(204, "POST", "UploadBlock", `{"BlockId":"YQ==","BlockData":"`+base64.StdEncoding.EncodeToString([]byte(content))+`","FileContinuationToken":"`+tok+`"}`)
		return c.do("POST", "CommitAnnotationBlocksUpload", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.annotation","filename":"`+name+`","mimetype":"`+mime+`"},"BlockList":["YQ=="],"FileContinuationToken":"`+tok+`"}`)
	}
	refused("0x80043e09", note("a.EXE", "", "x"))
	refused("0x80043e09", column("a.exe"))
	refused("0x80043e09", blocks("a.exe", "", "x"))
	good := note("a.txt", "text/plain", "x").id()
	refused("0x80043e09", c.do("PATCH", "annotations("+good+")", `{"filename":"a.bat"}`))
	c.settings(`{"blockedattachments":"txt;csv"}`)
	refused("0x80043e09", column("a.csv"))
	c.settings(`{"blockedattachments":null,"blockedmimetypes":"image/svg+xml"}`)
	refused("0x80072522", note("a.exe", "image/svg+xml", "x"))
	refused("0x80072522", column("a.svg"))
	c.settings(`{"allowedmimetypes":"text/plain;application/pdf"}`)
	refused("0x80072521", note("a.exe", "image/svg+xml", "x"))
	refused("0x80072521", column("a.json"))
	for _, a := range []answer{note("a.exe", "text/plain", "x"), column("a.pdf")} {
		if a.Status != 204 {
			t.Errorf("allowed: got %d %s", a.Status, a.Body)
		}
	}
	c.settings(`{"allowedmimetypes":null,"maxuploadfilesize":100}`)
	refused("0x80044a02", note("a.txt", "text/plain", strings.Repeat("x", 76))) // 104 characters
	refused("0x80044a02", blocks("a.txt", "text/plain", strings.Repeat("x", 76)))
	for _, a := range []answer{note("a.txt", "text/plain", strings.Repeat("x", 75)), blocks("a.txt", "text/plain", strings.Repeat("x", 75))} {
		if a.Status >= 300 {
			t.Errorf("100 characters of 100: got %d %s", a.Status, a.Body)
		}
	}
}

func TestSection8_1_AttachmentsByBlocks(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	mail := c.want(204, "POST", "emails", `{"subject":"s"}`).id()
	tok := c.want(200, "POST", "InitializeAttachmentBlocksUpload", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.activitymimeattachment"}}`).json()["FileContinuationToken"].(string)
	c.want(204, "POST", "UploadBlock", `{"BlockId":"YQ==","BlockData":"aGVsbG8=","FileContinuationToken":"`+tok+`"}`)
	target := `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.activitymimeattachment","filename":"a.txt","objectid_email@odata.bind":"/emails(` + mail + `)"},"BlockList":["YQ=="],"FileContinuationToken":"` + tok + `"}`
	got := c.want(200, "POST", "CommitAttachmentBlocksUpload", target).json()
	id, _ := got["ActivityMimeAttachmentId"].(string)
	if got["FileSizeInBytes"] != 5.0 {
		t.Errorf("got %v", got)
	}
	if r := c.want(200, "GET", "activitymimeattachments("+id+")?$select=body,filename", "").json(); r["body"] != "aGVsbG8=" || r["filename"] != "a.txt" {
		t.Errorf("got %v", r)
	}
	tok = c.want(200, "POST", "InitializeAttachmentBlocksUpload", `{"Target":{"activitymimeattachmentid":"`+id+`"}}`).json()["FileContinuationToken"].(string)
	c.want(204, "POST", "UploadBlock", `{"BlockId":"YQ==","BlockData":"YQ==","FileContinuationToken":"`+tok+`"}`)
	c.want(400, "POST", "CommitAttachmentBlocksUpload", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.activitymimeattachment","activitymimeattachmentid":"`+id+`"},"BlockList":["YQ=="],"FileContinuationToken":"`+tok+`"}`)
}

func TestSection8_2_Files(t *testing.T) {
	m := model()
	m.Table("account").Column("contract").MaxSizeKB = 1
	c := start(t, dvemu.Options{Model: m})
	id := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	path := "accounts(" + id + ")/contract"
	c.want(204, "PATCH", path+"?x-ms-file-name="+url.PathEscape("Vertrag Größe.txt"), "hello", "Content-Type", "application/octet-stream")
	was := c.want(200, "GET", "accounts("+id+")?$select=contract,contract_name", "").json()
	c.want(204, "PATCH", "accounts("+id+")", `{"contract_name":"z","contract":"`+nobody+`"}`)
	if r := c.want(200, "GET", "accounts("+id+")?$select=contract,contract_name", "").json(); r["contract"] != was["contract"] || r["contract_name"] != "Vertrag Größe.txt" {
		t.Errorf("got %v, before %v", r, was)
	}
	if a := c.want(400, "PATCH", path, strings.Repeat("x", 1025), "Content-Type", "application/octet-stream", "x-ms-file-name", "a.txt"); a.code() != "0x80044a02" {
		t.Errorf("got %s", a.Body)
	}
	if a := c.want(200, "GET", path, ""); a.json()["value"] != "aGVsbG8=" || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("without $value: got %s %v", a.Body, a.Header)
	}
	if a := c.want(206, "GET", path+"/$value", "", "Range", "bytes=1-2"); a.Body != "el" || a.Header.Get("x-ms-chunk-size") != "4194304" {
		t.Errorf("range: got %q %v", a.Body, a.Header)
	}
	tok := c.want(200, "POST", "InitializeFileBlocksUpload", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"`+id+`"},"FileAttributeName":"contract","FileName":"a.txt"}`).json()["FileContinuationToken"].(string)
	block := func(id string) string {
		return `{"BlockId":"` + base64.StdEncoding.EncodeToString([]byte(id)) + `","BlockData":"YQ==","FileContinuationToken":"` + tok + `"}`
	}
	c.want(204, "POST", "UploadBlock", block("aaa"))
	c.want(400, "POST", "UploadBlock", block("bbbb"))
	c.want(400, "POST", "UploadBlock", block(strings.Repeat("c", 65)))
	c.want(204, "POST", "DeleteFile", `{"FileId":"`+was["contract"].(string)+`"}`)
	if a := c.want(404, "GET", path+"/$value", ""); a.code() != "0x80040217" {
		t.Errorf("got %s", a.Body)
	}
}

func TestSection8_3_Images(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions(LogicalName='account')/Attributes", column("Image", "new_Logo"))
	if a := c.want(400, "POST", "accounts", `{"name":"A","new_logo":"`+pixel+`"}`); a.code() != "0x80090487" {
		t.Errorf("another than the primary image: got %s", a.Body)
	}
	id := c.want(204, "POST", "accounts", `{"name":"A","new_logo":null,"entityimage":"`+pixel+`"}`).id()
	c.want(204, "PATCH", "accounts("+id+")", `{"new_logo":"`+pixel+`"}`)
	r := c.want(200, "GET", "accounts("+id+")?$select=entityimage,entityimage_url,entityimage_timestamp,entityimageid,new_logo", "").json()
	for _, name := range []string{"entityimage", "entityimage_timestamp", "entityimageid", "new_logo"} {
		if r[name] == nil {
			t.Errorf("%s: none", name)
		}
	}
	if link, want := r["entityimage_url"], fmt.Sprintf("/Image/download.aspx?Entity=account&Attribute=entityimage&Id=%v&Timestamp=", r["entityimageid"]); !strings.HasPrefix(fmt.Sprint(link), want) {
		t.Errorf("url: got %q, want %q", link, want)
	}
	if all := c.want(200, "GET", "accounts("+id+")", "").json(); all["entityimage"] != nil {
		t.Error("an image is among all columns")
	}
	raw, err := base64.StdEncoding.DecodeString(pixel)
	if err != nil {
		t.Fatal(err)
	}
	if a := c.want(200, "GET", "accounts("+id+")/entityimage/$value", ""); a.Body != string(raw) {
		t.Errorf("thumbnail: got %q", a.Body)
	}
	c.want(204, "GET", "accounts("+id+")/new_logo/$value?size=full", "") // it stores no full images
}

// picture is a PNG of that size.
func picture(t *testing.T, w, h int) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSection8_3_Thumbnails(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions(LogicalName='account')/Attributes", column("Image", "new_Logo", `"MaxSizeInKB":4`))
	large, small := picture(t, 300, 428), picture(t, 91, 130)
	text := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	id := c.want(204, "POST", "accounts", `{"name":"A","entityimage":"`+text(large)+`"}`).id()
	side := func(want int, thumbnail string) {
		t.Helper()
		img, _, err := image.DecodeConfig(strings.NewReader(thumbnail))
		if err != nil || img.Width != want || img.Height != want {
			t.Errorf("got %d × %d, %v, want sides of %d", img.Width, img.Height, err, want)
		}
	}
	row := "accounts(" + id + ")"
	for _, name := range []string{"entityimage", "new_logo"} {
		for sides, file := range map[int]string{144: large, 91: small} {
			c.want(204, "PATCH", row, `{"`+name+`":"`+text(file)+`"}`)
			value, err := base64.StdEncoding.DecodeString(c.want(200, "GET", row+"?$select="+name, "").json()[name].(string))
			if err != nil {
				t.Fatal(err)
			}
			side(sides, string(value))
			side(sides, c.want(200, "GET", row+"/"+name+"/$value", "").Body)
			full := c.do("GET", row+"/"+name+"/$value?size=full", "")
			if name == "entityimage" && (full.Status != 200 || full.Body != file || full.Header.Get("mimetype") != "image/png") || name == "new_logo" && full.Status != 204 {
				t.Errorf("%s in full: got %d, %d bytes", name, full.Status, len(full.Body))
			}
		}
	}
	upload := func(column, file string) answer {
		return c.do("PATCH", row+"/"+column, file, "Content-Type", "application/octet-stream", "x-ms-file-name", "a.png")
	}
	if a := upload("entityimage", large); a.Status != 204 || c.want(200, "GET", row+"/entityimage/$value?size=full", "").Body != large {
		t.Errorf("upload: got %d %s", a.Status, a.Body)
	}
	noise := image.NewGray(image.Rect(0, 0, 100, 100))
	for i := range noise.Pix {
		noise.Pix[i] = byte(i * i * 31 >> 4)
	}
	var heavy bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&heavy, noise); err != nil {
		t.Fatal(err)
	}
	for what, a := range map[string]answer{
		"no Base64": c.do("PATCH", row, `{"entityimage":"%"}`), "text": c.do("PATCH", row, `{"entityimage":"`+text("hello")+`"}`), "new row": c.do("POST", "accounts", `{"entityimage":"aGVsbG8="}`),
		"text as a file": upload("entityimage", "hello"), "over MaxSizeInKB": upload("new_logo", heavy.String()), "over MaxSizeInKB by PATCH": c.do("PATCH", row, `{"new_logo":"`+text(heavy.String())+`"}`),
		"text by PUT": c.do("PUT", row+"/new_logo", `{"value":"aGVsbG8="}`),
	} {
		if a.Status != 400 || a.code() != "0x80072553" {
			t.Errorf("%s: got %d %s", what, a.Status, a.Body)
		}
	}
	c.want(204, "PUT", row+"/new_logo", `{"value":null}`)
	c.want(204, "PATCH", row, `{"entityimage":null}`)
	r := c.want(200, "GET", row+"?$select=entityimage,entityimageid,entityimage_url,new_logo,new_logoid,new_logo_timestamp", "").json()
	for _, name := range []string{"entityimage", "entityimageid", "entityimage_url", "new_logo", "new_logoid", "new_logo_timestamp"} {
		if r[name] != nil {
			t.Errorf("%s: got %v after the image was deleted", name, r[name])
		}
	}
	c.want(204, "GET", row+"/new_logo/$value", "")
	c.want(204, "GET", row+"/entityimage/$value?size=full", "")
}

func TestSection9_1_Annotations(t *testing.T) {
	c := start(t, dvemu.Options{})
	for prefer, want := range map[string]int{"": 2, `odata.include-annotations="*"`: 7} {
		a := c.want(404, "GET", "accounts("+nobody+")", "", "Prefer", prefer)
		if e := a.json()["error"].(map[string]any); len(e) != want || e["code"] != "0x80040217" {
			t.Errorf("Prefer %q: got %v, want %d members", prefer, e, want)
		}
	}
}

// Each file in a file column has a row that tells of it, which nobody writes.
func TestSection8_2_FileAttachments(t *testing.T) {
	k := &clock{time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)}
	c := standardCompany(t, dvemu.Options{Now: k.now})
	c.settings(`{"isauditenabled":true}`)
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	for _, schema := range []string{"new_Deed", "new_Plan"} {
		c.want(204, "POST", banks+"/Attributes", column("File", schema))
	}
	upload := func(at, name, content string) {
		t.Helper()
		c.want(204, "PATCH", at+"?x-ms-file-name="+name, content, "Content-Type", "application/octet-stream")
	}
	told := func(query string) []string {
		t.Helper()
		var out []string
		for _, r := range c.want(200, "GET", "fileattachments?"+query+"&$orderby=filename", "").rows() {
			out = append(out, fmt.Sprintf("%v.%v %v %v %v", r["objecttypecode"], r["regardingfieldname"], r["filename"], r["mimetype"], r["filesizeinbytes"]))
		}
		return out
	}
	is := func(got []string, want ...string) {
		t.Helper()
		if d := cmp.Diff(got, want, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("-got +want:\n%s", d)
		}
	}
	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	is(told("$count=true"))
	upload("accounts("+acc+")/alp_creditreport", "a.pdf", "hello")
	bank := c.want(204, "POST", "new_bankaccounts", `{"new_accountname":"B"}`).id()
	upload("new_bankaccounts("+bank+")/new_deed", "b.txt", "deed")
	k.at = k.at.Add(time.Hour)
	upload("new_bankaccounts("+bank+")/new_plan", "c.png", "plan!!")
	upload("new_bankaccounts("+bank+")/new_plan", "d.png", "plan")
	is(told("$count=true"), "account.alp_creditreport a.pdf application/pdf 5", "new_bankaccount.new_deed b.txt text/plain 4", "new_bankaccount.new_plan d.png image/png 4")
	is(told("$filter=regardingfieldname%20eq%20'new_plan'"), "new_bankaccount.new_plan d.png image/png 4")
	is(told("$filter=objectid_account/accountid%20eq%20"+acc), "account.alp_creditreport a.pdf application/pdf 5")

	r := c.want(200, "GET", "new_bankaccounts("+bank+")?$select=new_plan&$expand=new_bankaccount_FileAttachments($select=createdon,filename;$filter=regardingfieldname%20eq%20'new_plan')", "").json()
	list := r["new_bankaccount_FileAttachments"].([]any)
	if one := list[0].(map[string]any); len(list) != 1 || one["fileattachmentid"] != r["new_plan"] || one["createdon"] != "2026-05-01T10:00:00Z" || one["@odata.etag"] == nil {
		t.Errorf("got %v", r)
	}
	file := list[0].(map[string]any)["fileattachmentid"].(string)
	if got := c.want(200, "GET", "fileattachments("+file+")?$expand=objectid_new_bankaccount($select=new_accountname)", "").json(); got["_objectid_value"] != bank || got["objectid_new_bankaccount"].(map[string]any)["new_accountname"] != "B" {
		t.Errorf("got %v", got)
	}
	if rel := c.want(200, "GET", "RelationshipDefinitions(SchemaName='new_bankaccount_FileAttachments')/Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata", "").json(); rel["CascadeConfiguration"].(map[string]any)["Delete"] != "Cascade" || rel["CascadeConfiguration"].(map[string]any)["Share"] != "NoCascade" {
		t.Errorf("got %v", rel)
	}
	for _, x := range [][3]string{{"POST", "fileattachments", `{"filename":"x"}`}, {"PATCH", "fileattachments(" + file + ")", `{"filename":"x"}`}, {"DELETE", "fileattachments(" + file + ")", ""}} {
		if a := c.want(405, x[0], x[1], x[2]); a.code() != "0x80040800" {
			t.Errorf("%s: got %s", x[0], a.Body)
		}
	}
	c.want(204, "DELETE", "new_bankaccounts("+bank+")/new_plan", "")
	is(told("$count=true"), "account.alp_creditreport a.pdf application/pdf 5", "new_bankaccount.new_deed b.txt text/plain 4")

	// They go with their row, come back with it, and leave no trace of their own.
	c.action("set-recycle-bin", `{"on":true,"count":30}`)
	c.want(204, "DELETE", "new_bankaccounts("+bank+")", "")
	is(told("$count=true"), "account.alp_creditreport a.pdf application/pdf 5")
	c.want(200, "POST", "Restore", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.new_bankaccount","new_bankaccountid":"`+bank+`"}}`)
	is(told("$filter=objecttypecode%20eq%20'new_bankaccount'"), "new_bankaccount.new_deed b.txt text/plain 4")
	if rows := c.want(200, "GET", "audits?$filter=objecttypecode%20eq%20'fileattachment'", "").rows(); len(rows) != 0 {
		t.Errorf("audited: %v", rows)
	}
	c.want(204, "DELETE", banks+"/Attributes(LogicalName='new_deed')", "")
	is(told("$count=true"), "account.alp_creditreport a.pdf application/pdf 5")
	c.want(204, "DELETE", banks, "")
	c.want(404, "GET", "RelationshipDefinitions(SchemaName='new_bankaccount_FileAttachments')", "")
	c.want(204, "DELETE", "accounts("+acc+")", "")
	is(told("$count=true"))
}

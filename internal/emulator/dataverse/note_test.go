package dataverse_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

func TestNotes(t *testing.T) {
	c := start(t, dvemu.Options{Model: realModel(t, "csdl-jag-spd-spice.xml.gz")})
	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	id := c.want(204, "POST", "annotations", `{"subject":"S","filename":"a.txt","mimetype":"text/plain","documentbody":"aGVsbG8=","objectid_account@odata.bind":"/accounts(`+acc+`)"}`).id()
	r := c.want(200, "GET", "annotations("+id+")", "").json()
	if r["filesize"] != 5.0 || r["isdocument"] != true || r["documentbody"] != "aGVsbG8=" || r["_objectid_value"] != acc {
		t.Errorf("got %v", r)
	}
	// The raw value is Base64 text, not bytes (§8.1).
	if a := c.want(200, "GET", "annotations("+id+")/documentbody/$value", ""); a.Body != "aGVsbG8=" {
		t.Errorf("got %q", a.Body)
	}
	if a := c.want(400, "POST", "annotations", `{"documentbody":"`+strings.Repeat("A", 5242884)+`"}`); a.code() != "0x80044a02" {
		t.Errorf("got %s", a.Body)
	}
	tok := c.want(200, "POST", "InitializeAnnotationBlocksUpload", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.annotation"}}`).json()["FileContinuationToken"].(string)
	c.want(204, "POST", "UploadBlock", `{"BlockId":"YQ==","BlockData":"aGVsbG8=","FileContinuationToken":"`+tok+`"}`)
	got := c.want(200, "POST", "CommitAnnotationBlocksUpload", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.annotation","subject":"big","filename":"b.txt","objectid_account@odata.bind":"/accounts(`+acc+`)"},"BlockList":["YQ=="],"FileContinuationToken":"`+tok+`"}`).json()
	note := got["AnnotationId"].(string)
	d := c.want(200, "POST", "InitializeAnnotationBlocksDownload", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.annotation","annotationid":"`+note+`"}}`).json()
	if d["FileSizeInBytes"] != 5.0 || d["FileName"] != "b.txt" {
		t.Errorf("got %v", d)
	}
	c.want(204, "DELETE", "accounts("+acc+")", "")
	if n := len(c.want(200, "GET", "annotations", "").rows()); n != 0 {
		t.Errorf("notes left after their account: %d", n)
	}
}

// TestReadersAndWritersTogether has the race detector watch.
func TestReadersAndWritersTogether(t *testing.T) {
	c := start(t, dvemu.Options{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Add(2)
		go func() {
			defer wg.Done()
			for i := range 20 {
				c.do("POST", "accounts", fmt.Sprintf(`{"name":"%d-%d"}`, w, i))
			}
		}()
		go func() {
			defer wg.Done()
			for range 20 {
				c.do("GET", "accounts?$filter=contains(name,'1')&$orderby=name", "", "Prefer", `odata.include-annotations="*"`)
				c.do("GET", "EntityDefinitions?$select=LogicalName", "")
				c.batch(200, "", changeSet(op("1", "POST", "contacts", `{"lastname":"X"}`)))
			}
		}()
	}
	wg.Wait()
	if a := c.want(200, "GET", "accounts/$count", ""); a.Body != "\uFEFF80" {
		t.Errorf("accounts: got %q", a.Body)
	}
}

package dataverse_test

import (
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// §16: what the document leaves open is a switch.
func TestSection16_Switches(t *testing.T) {
	const row, other = "00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2"
	with := func(assume ...string) *client {
		o := dvemu.Options{Assume: map[string]string{}}
		for i := 0; i < len(assume); i += 2 {
			o.Assume[assume[i]] = assume[i+1]
		}
		return start(t, o)
	}
	t.Run("key-in-create", func(t *testing.T) {
		if id := with().want(204, "POST", "accounts", `{"accountid":"`+row+`"}`).id(); id != row {
			t.Errorf("taken: got %s", id)
		}
		c := with("key-in-create", "ignore")
		if id := c.want(204, "POST", "accounts", `{"accountid":"`+row+`"}`).id(); id == row {
			t.Error("the key of the body was taken")
		}
		c.want(204, "PATCH", "accounts("+other+")", `{"name":"by its address"}`)
		c.want(200, "GET", "accounts("+other+")", "")
	})
	t.Run("lookup-value-in-body", func(t *testing.T) {
		const body = `{"name":"A","_parentaccountid_value":"` + row + `"}`
		with().want(204, "POST", "accounts", body)
		c := with("lookup-value-in-body", "refuse")
		c.want(400, "POST", "accounts", body)
		c.want(204, "PATCH", "accounts("+row+")", `{"name":"A"}`)
		c.want(400, "PATCH", "accounts("+row+")", body)
	})
	t.Run("delete-multiple", func(t *testing.T) {
		targets := func(ids ...string) string {
			return `{"Targets":[{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"` + strings.Join(ids, `"},{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"`) + `"}]}`
		}
		c := with("delete-multiple", "allow")
		for _, id := range []string{row, other} {
			c.want(204, "PATCH", "accounts("+id+")", `{"name":"A"}`)
		}
		c.want(404, "POST", "accounts/Microsoft.Dynamics.CRM.DeleteMultiple", targets(row, "00000000-0000-4000-8000-0000000000ff"))
		c.want(200, "GET", "accounts("+row+")", "")
		c.want(204, "POST", "accounts/Microsoft.Dynamics.CRM.DeleteMultiple", targets(row, other))
		c.want(404, "GET", "accounts("+row+")", "")
	})
	t.Run("bypass-steps", func(t *testing.T) {
		steps := func(n int) []string {
			return []string{"MSCRM.BypassBusinessLogicExecutionStepIds", strings.TrimSuffix(strings.Repeat(row+",", n), ",")}
		}
		c := with()
		c.want(204, "POST", "accounts", `{"name":"A"}`, steps(3)...)
		c.want(400, "POST", "accounts", `{"name":"A"}`, steps(4)...)
		with("bypass-steps", "10").want(204, "POST", "accounts", `{"name":"A"}`, steps(4)...)
	})
	t.Run("batch-part-callers", func(t *testing.T) {
		part := "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nPATCH /api/data/v9.2/accounts(" + row + ") HTTP/1.1\r\nContent-Type: application/json\r\nMSCRMCallerID: " + other + "\r\n\r\n{\"name\":\"A\"}\r\n"
		c := with()
		c.batch(400, "", part) // there is no such user
		c = with("batch-part-callers", "ignore")
		c.batch(200, "", part)
		c.want(200, "GET", "accounts("+row+")", "")
	})
	t.Run("limit-annotations", func(t *testing.T) {
		for value, want := range map[string]bool{"none": false, "details": true} {
			c := start(t, dvemu.Options{Limits: "real", Assume: map[string]string{"limit-annotations": value}})
			var a answer
			for range 6001 {
				if a = c.do("GET", "WhoAmI", ""); a.Status == 429 {
					break
				}
			}
			if a.Status != 429 || strings.Contains(a.Body, "@Microsoft.PowerApps.CDS") != want {
				t.Errorf("%s: %d %s", value, a.Status, a.Body)
			}
		}
	})
	t.Run("column-comparison", func(t *testing.T) {
		for _, filter := range []string{"firstname eq lastname", "not (firstname eq lastname)", "lastname ne null and firstname eq lastname"} {
			with().want(200, "GET", "contacts?$filter="+filter, "")
			with("column-comparison", "refuse").want(400, "GET", "contacts?$filter="+filter, "")
		}
		c := with("column-comparison", "refuse")
		c.want(400, "GET", "accounts?$filter=contact_customer_accounts/any(c:c/firstname eq c/lastname)", "")
		c.want(200, "GET", "accounts?$filter=primarycontactid/lastname eq 'A' and contains(name,'b')", "")
	})
	t.Run("linked-names", func(t *testing.T) {
		const fetch = "accounts?fetchXml=<fetch><entity name='account'><attribute name='name'/><link-entity name='contact' from='contactid' to='primarycontactid' alias='c'><attribute name='lastname'/></link-entity></entity></fetch>"
		for value, want := range map[string]string{"dot": "c.lastname", "encoded": "c_x002e_lastname"} {
			c := with("linked-names", value)
			c.want(204, "POST", "accounts", `{"name":"A","primarycontactid":{"lastname":"L"}}`)
			if r := c.want(200, "GET", fetch, "").rows(); len(r) != 1 || r[0][want] != "L" {
				t.Errorf("%s: %v", value, r)
			}
		}
	})
	t.Run("file-chunks", func(t *testing.T) {
		for value, status := range map[string]int{"take": 200, "refuse": 400} {
			c := with("file-chunks", value)
			c.want(204, "PATCH", "accounts("+row+")", `{"name":"A"}`)
			a := c.do("PATCH", "accounts("+row+")/contract", "", "x-ms-transfer-mode", "chunked", "x-ms-file-name", "a.txt", "Content-Type", "application/octet-stream")
			if a.Status != status || status == 400 && a.code() != "0x80090017" {
				t.Errorf("%s: %d %s", value, a.Status, a.Body)
			}
			c.want(204, "PATCH", "accounts("+row+")/contract", "whole", "x-ms-file-name", "a.txt", "Content-Type", "application/octet-stream")
			block := `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"` + row + `"},"FileAttributeName":"contract","FileName":"a.txt"}`
			c.want(status, "POST", "InitializeFileBlocksUpload", block)
		}
	})
}

// §4.7: an address may be twice as long within a batch, and no longer.
func TestSection4_7_LongAddresses(t *testing.T) {
	c := start(t, dvemu.Options{})
	get := func(n int) string {
		path := "/api/data/v9.2/accounts?$filter=name eq '"
		return op("", "GET", strings.TrimPrefix(path, "/api/data/v9.2/")+strings.Repeat("a", n-len(path)-1)+"'", "")
	}
	c.batch(200, "", get(40_000))
	c.batch(400, "", get(70_000))
}

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
}

package dataverse_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"os"
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

type description struct {
	Routes     []struct{ Method, Path, Body, What string }
	FaultKinds []struct{ Kind, Example, What string } `json:"fault_kinds"`
}

func (c *client) describe() (d description) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.want(200, "GET", c.url+"/_emulator/", "").Body), &d); err != nil {
		c.t.Fatal(err)
	}
	if len(d.Routes) < 19 || len(d.FaultKinds) < 10 {
		c.t.Fatalf("the emulator describes %d routes and %d faults", len(d.Routes), len(d.FaultKinds))
	}
	return d
}

// Every example works as it stands.
func TestExamplesWork(t *testing.T) {
	c := start(t, dvemu.Options{})
	d := c.describe()
	for _, r := range d.Routes {
		if a := c.do(r.Method, c.url+r.Path, r.Body); a.Status != 200 && a.Status != 204 {
			t.Errorf("%s %s %s: got %d %s", r.Method, r.Path, r.Body, a.Status, a.Body)
		}
	}
	for _, k := range d.FaultKinds {
		c.want(204, "PUT", c.url+"/_emulator/faults", "["+k.Example+"]")
		var list []struct{ Kind string }
		if err := json.Unmarshal([]byte(c.want(200, "GET", c.url+"/_emulator/faults", "").Body), &list); err != nil || len(list) != 1 || list[0].Kind != k.Kind {
			t.Errorf("fault %s: got %v, %v", k.Kind, list, err)
		}
	}
}

func TestIndexForBrowsers(t *testing.T) {
	c := start(t, dvemu.Options{Assume: map[string]string{"etag-on-missing": "412"}, OrganizationName: "A & B <Ltd>"})
	d := c.describe()
	c.want(204, "PUT", c.url+"/_emulator/faults", `[{"kind": "slow", "path": "a<b"}]`)
	a := c.want(200, "GET", c.url+"/_emulator/", "", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if got := a.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type: got %q", got)
	}
	want := []string{"A &amp; B &lt;Ltd&gt;", "a&lt;b", `<td class="set">412</td>`, c.url + "/api/data/v9.2/accounts?$select=name"}
	for _, r := range d.Routes {
		want = append(want, r.Method+" "+r.Path, html.EscapeString(r.What))
	}
	for _, k := range d.FaultKinds {
		want = append(want, html.EscapeString(k.Example))
	}
	for _, s := range dvemu.Assumptions() {
		want = append(want, "<code>"+s.Key+"</code>", html.EscapeString(s.What))
	}
	for _, w := range want {
		if !strings.Contains(a.Body, w) {
			t.Errorf("the page lacks %q", w)
		}
	}
	if a := c.do("POST", c.url+"/_emulator/", ""); a.Status != http.StatusNotFound {
		t.Errorf("POST of the index: got %d", a.Status)
	}
}

// TestDocumentation holds docs/emulator.md to what the emulator says of itself.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/emulator.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	d := start(t, dvemu.Options{}).describe()
	for _, r := range d.Routes {
		request := "`" + r.Method + " " + r.Path + "`"
		if r.Body != "" {
			request += " `" + r.Body + "`"
		}
		want = append(want, "| "+request+" | "+r.What+" |")
	}
	for _, k := range d.FaultKinds {
		want = append(want, "| `"+k.Example+"` | "+k.What+" |")
	}
	for _, a := range dvemu.Assumptions() {
		values := a.Default
		for _, v := range a.Values {
			if v != a.Default {
				values += ", " + v
			}
		}
		if len(a.Values) == 0 {
			values += ", any"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", a.Key, values, a.What))
	}
	for _, line := range want {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("docs/emulator.md lacks the line\n%s", line)
		}
	}
}

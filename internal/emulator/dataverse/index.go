package dataverse

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strings"

	"allod/internal/emulator"
)

// adminRoute is one line of the emulator's own description of itself.
type adminRoute struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   string `json:"body,omitempty"` // an example
	What   string `json:"what"`
}

func adminRoutes() []adminRoute {
	return []adminRoute{
		{"GET", "/_emulator/", "", "this page; JSON unless text/html is asked for"},
		{"GET", "/_emulator/counters", "", "what was counted since the start: requests, requests:ROUTE, requests:ROUTE:TABLE, rows, rows:TABLE, parts (of batches), tokens, throttled, status:N, bytes"},
		{"DELETE", "/_emulator/counters", "", "set all counters to zero"},
		{"GET", "/_emulator/faults", "", "faults in force with their hits"},
		{"PUT", "/_emulator/faults", `[{"table": "accounts", "nth": 2, "kind": "status", "status": 503}]`, "replace the faults; [] ends them all"},
		{"GET", "/_emulator/assume", "", "switches for what the documentation leaves open, with defaults and values in force"},
		{"GET", "/_emulator/users", "", "application users with client ids and secrets"},
		{"GET", "/_emulator/exchange", "", "what server-side synchronisation told Exchange of appointments, tasks and contacts, with the number of attendees who hear of it"},
		{"GET", "/_emulator/state", "", "organisation id, highest row version, marks, rows by table"},
		{"POST", "/_emulator/actions/mark", `{"name": "monday"}`, "remember this moment"},
		{"POST", "/_emulator/actions/rewind-to", `{"name": "monday", "new_organization": false}`, "native restore to a marked moment under the same address: row versions go back; the organisation id is new if wanted"},
		{"POST", "/_emulator/actions/retention-run", `{"table": "account", "count": 2}`, "long-term retention takes rows away: the first count of them, those in ids, or without both those of the table's active policies; a purge looks like a deletion in the delta"},
		{"POST", "/_emulator/actions/set-depth", `{"client_id": "00000000-0000-4000-a000-000000000001", "table": "*", "depth": "Local"}`, "read depth of an application user (None Basic Local Deep Global) in a table, or * for all without one of their own; less than Global takes System Administrator away, who reads everything; without client_id, the first user"},
		{"POST", "/_emulator/actions/set-administrator", `{"client_id": "00000000-0000-4000-a000-000000000001", "on": false}`, "whether the application user has the role System Administrator and sees secured columns"},
		{"POST", "/_emulator/actions/follow-roles", `{"client_id": "00000000-0000-4000-a000-000000000001"}`, "what the application user may do becomes what its security roles hold, and those of its teams, as they are at this moment"},
		{"POST", "/_emulator/actions/set-secured", `{"table": "account", "column": "description", "on": true}`, "put a column under column security, or not"},
		{"POST", "/_emulator/actions/drop-table", `{"table": "account"}`, "remove a table with its rows"},
		{"POST", "/_emulator/actions/create-table", `{"table": "account"}`, "make a dropped table again, empty, with a new MetadataId"},
		{"POST", "/_emulator/actions/add-column", `{"table": "account", "column": "new_note", "kind": "String"}`, "add a column: String Memo Integer Boolean DateTime Decimal Money Double"},
		{"POST", "/_emulator/actions/remove-column", `{"table": "account", "column": "new_note"}`, "remove a column, as when an administrator deletes it"},
		{"POST", "/_emulator/actions/set-tracking", `{"table": "account", "on": false}`, "change tracking of a table"},
		{"POST", "/_emulator/actions/set-recycle-bin", `{"on": true, "count": 30}`, "the recycle bin of the environment, for count days, -1 = without end; also where the model has no recyclebinconfig"},
		{"POST", "/_emulator/actions/synchronize-mail", "", "send every e-mail that is Pending Send or Sending, as server-side synchronisation does for senders whose mailbox does; counted as mail:sent"},
		{"POST", "/_emulator/actions/calculate-rollups", "", "reckon rollup columns where they have changed, as the hourly job does; counted as rollups"},
		{"POST", "/_emulator/actions/reset-token-epoch", "", "expire every bearer token issued so far (strict authentication notices)"},
	}
}

// faultKind is one line of what can go wrong on purpose.
type faultKind struct {
	Kind    string `json:"kind"`
	Example string `json:"example"`
	What    string `json:"what"`
}

func faultKinds() []faultKind {
	return []faultKind{
		{"status", `{"table": "accounts", "nth": 3, "kind": "status", "status": 503, "code": "0x80040216", "message": "An unexpected error occurred."}`, "answer with a status (default 503), code and message; the request is not carried out"},
		{"throttle", `{"kind": "throttle", "count": 5, "retry_after": 2}`, "answer 429 as service protection does"},
		{"html", `{"path": "WhoAmI", "kind": "html", "status": 200}`, "a page of HTML instead of JSON, as sign-in pages and proxies send"},
		{"reset", `{"method": "POST", "kind": "reset"}`, "cut the connection; the request is not carried out"},
		{"reset-after", `{"method": "PATCH", "kind": "reset-after"}`, "carry the request out, then cut the connection"},
		{"truncate", `{"table": "contacts", "kind": "truncate"}`, "half of the body, then cut the connection"},
		{"badjson", `{"table": "contacts", "kind": "badjson"}`, "a body that is damaged in the middle"},
		{"slow", `{"kind": "slow", "count": -1, "delay_ms": 250}`, "wait, then answer as usual"},
		{"drip", `{"table": "contacts", "kind": "drip", "delay_ms": 400}`, "answer as usual, the body in pieces over that time"},
		{"cyclic", `{"table": "accounts", "kind": "cyclic", "count": -1}`, "the nextLink leads to the page it is on"},
		{"duplicate-page", `{"table": "accounts", "kind": "duplicate-page"}`, "the same, once: one page comes twice"},
		{"repeat-page", `{"table": "accounts", "kind": "repeat-page"}`, "one page comes twice, the second time by another address"},
		{"swap-pages", `{"table": "accounts", "nth": 2, "kind": "swap-pages"}`, "a page and the one after it come in the wrong order"},
		{"reverse-rows", `{"table": "accounts", "kind": "reverse-rows", "count": -1}`, "the rows of a page come last first"},
	}
}

// index describes the emulator: to a browser as a page, to others as JSON.
func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		adminJSON(w, http.StatusOK, map[string]any{"emulator": "dataverse", "routes": adminRoutes(), "fault_kinds": faultKinds()})
		return
	}
	rows := 0
	state := s.state()
	if byTable, ok := state["rows"].(map[string]int); ok {
		for _, n := range byTable {
			rows += n
		}
	}
	var page bytes.Buffer
	err := indexPage.Execute(&page, struct {
		Base, Name, Organization string
		Rows                     int
		Users                    []AppUser
		Routes                   []adminRoute
		Kinds                    []faultKind
		Faults                   []emulator.Fault
		Assumptions              []Assumption
		InForce                  map[string]string
	}{scheme(r) + r.Host, s.opts.OrganizationName, s.Organization().String(), rows, s.Users(), adminRoutes(), faultKinds(), s.faults.List(), Assumptions(), s.org.Assume})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page.Bytes()) // the client has gone
}

//go:embed index.html
var indexText string

var indexPage = template.Must(template.New("index").Parse(indexText))

package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/store"
)

// tick lets something happen before a request of Allod is answered. The caller
// holds mu, here and below.
func (s *storm) tick() {
	if s.rnd.IntN(3) == 0 {
		for range 1 + s.rnd.IntN(6) {
			s.change()
		}
	}
	if s.rnd.IntN(60) == 0 {
		s.happen()
	}
	if s.security > 0 {
		s.changeSecurity()
	}
}

// changeSecurity secures a column now and then and mostly opens it again a few
// requests later, and changes what the reader may see of secured ones.
func (s *storm) changeSecurity() {
	secure := func(table string, on bool) {
		if s.co.server.Store().Has(table) {
			s.did["security changed"]++
			s.action("set-secured", map[string]any{"table": table, "column": textColumns[table], "on": on})
			s.tell("%s of %s secured: %v", textColumns[table], table, on)
		}
	}
	for _, table := range slices.Sorted(maps.Keys(s.secured)) {
		if s.requests >= s.secured[table] {
			delete(s.secured, table)
			secure(table, false)
		}
	}
	if s.rnd.IntN(10*s.security) == 0 {
		s.did["sight changed"]++
		s.administrator(!s.plain)
	}
	if table := stormNames[s.rnd.IntN(len(stormNames))]; s.rnd.IntN(s.security) == 0 && s.secured[table] == 0 {
		s.secured[table] = s.requests + 1 + s.rnd.IntN(4)
		if s.rnd.IntN(8) == 0 {
			s.secured[table] += 1000
		}
		secure(table, true)
	}
}

// mark remembers the present for a native restore.
func (s *storm) mark() {
	s.marks++
	s.action("mark", map[string]any{"name": fmt.Sprintf("mark %d", s.marks)})
}

func (s *storm) oneOf(list []string) string {
	if len(list) == 0 {
		return "00000000-0000-4000-8000-00000000dead"
	}
	return list[s.rnd.IntN(len(list))]
}

// textColumns are columns that take any text.
var textColumns = map[string]string{
	"account": "description", "contact": "jobtitle", "incident": "description", "task": "description", "lead": "jobtitle", "annotation": "notetext", "alp_loyaltycard": "alp_name",
}

var stormNames = []string{"account", "alp_loyaltycard", "annotation", "contact", "incident", "lead", "task"}

// change does what a user does: a row is made, changed, deleted or made again
// under its old id; a pair is made or taken apart. What the service refuses is
// no matter.
func (s *storm) change() {
	table := stormNames[s.rnd.IntN(len(stormNames))]
	t := s.co.server.Model().Table(table)
	if t == nil || !s.co.server.Store().Has(table) {
		return
	}
	set, text := t.SetName, fmt.Sprintf("Łódź %x \"quoted\"", s.rnd.Uint64())
	id := s.oneOf(s.keys[table])
	body := map[string]any{textColumns[table]: text}
	switch n := s.rnd.IntN(20); {
	case n < 9:
		if s.rnd.IntN(4) == 0 {
			body[textColumns[table]] = nil
		}
		if table == "contact" {
			for _, c := range s.added {
				body[c] = text
			}
		}
		s.count("row changed", s.update(set, id, body))
	case n < 13:
		if table == "annotation" {
			body["subject"], body["filename"], body["mimetype"], body["isdocument"] = "a file", "f.txt", "text/plain", true
			body["documentbody"] = strings.Repeat("QUJD", 1+s.rnd.IntN(200))
		}
		status, out := s.send(http.MethodPost, set, body)
		s.count("row made", status)
		if made, ok := out["made"].(string); ok && status < 300 {
			s.keys[table] = append(s.keys[table], made)
		}
	case n < 16:
		status, _ := s.send(http.MethodDelete, set+"("+id+")", nil)
		s.count("row deleted", status)
		if status < 300 {
			s.dead[table] = append(s.dead[table], id)
			s.absent[table+" "+id] = true
		}
	case n < 17:
		if len(s.dead[table]) > 0 {
			status, _ := s.send(http.MethodPatch, set+"("+s.oneOf(s.dead[table])+")", body)
			s.count("row made again", status)
		}
	case n < 19:
		s.count("pair made", s.pair(http.MethodPost, s.oneOf(s.keys["account"]), s.oneOf(s.keys["lead"])))
	default:
		s.count("pair taken apart", s.unpair())
	}
}

func (s *storm) update(set, id string, body any) int {
	status, _ := s.send(http.MethodPatch, set+"("+id+")", body, "If-Match", "*") // else it would come back if it is gone
	return status
}

func (s *storm) count(what string, status int) {
	if status < 300 {
		s.did[what]++
	} else {
		s.did["refused by the service"]++
	}
}

func (s *storm) pair(method, account, lead string) int {
	status, _ := s.send(method, "accounts("+account+")/accountleads_association/$ref", map[string]any{"@odata.id": s.co.url + "/api/data/v9.2/leads(" + lead + ")"})
	return status
}

func (s *storm) unpair() int {
	var account, lead allod.GUID
	s.co.server.Store().View(func(tx *store.Tx) {
		const pairs = "accountleads"
		if list := tx.Page(pairs, nil, 200); len(list) > 0 {
			r := list[s.rnd.IntN(len(list))]
			account, lead = tx.Value(pairs, r, "accountid").GUID(), tx.Value(pairs, r, "leadid").GUID()
		}
	})
	s.absent["accountleads "+pairName(account, lead)] = true
	status, _ := s.send(http.MethodDelete, "accounts("+account.String()+")/accountleads_association("+lead.String()+")/$ref", nil)
	return status
}

// cascaded notes what went with the rows that were deleted. What goes by a
// native restore or with its table is seen by comparing before and after.
func (s *storm) cascaded() {
	s.co.server.Store().View(func(tx *store.Tx) {
		for _, t := range s.co.server.Model().Tables {
			for _, c := range tx.Deleted(t.LogicalName, 0, tx.Version(), 1<<30) {
				s.absent[t.LogicalName+" "+c.Key.String()] = true
			}
		}
	})
}

// wasAbsent reports whether a row was gone at some moment. A pair goes with
// either of its ends.
func (s *storm) wasAbsent(k string) bool {
	table, key, _ := strings.Cut(k, " ")
	one, two, pair := strings.Cut(key, " ")
	if table == "systemuserroles" { // the administrator's comes and goes with the role
		return true
	}
	if s.absent[k] || s.dropped[table] || !pair {
		return s.absent[k] || s.dropped[table]
	}
	for name := range stormRows {
		if s.absent[name+" "+one] || s.absent[name+" "+two] {
			return true
		}
	}
	return false
}

// happen does what an administrator, a clock or the platform does.
func (s *storm) happen() {
	what, do := "", func() {}
	n := s.rnd.IntN(8)
	switch n {
	case 0:
		what, do = "tokens expired", func() { s.action("reset-token-epoch", nil) }
	case 1:
		what, do = "clock jumped", func() {
			d := time.Duration(s.rnd.IntN(180)) * time.Minute
			if s.rnd.IntN(4) == 0 {
				d = time.Duration(1+s.rnd.IntN(9)) * 24 * time.Hour
			}
			s.clock.advance(d)
		}
	case 2:
		what, do = "clocks disagreed", func() { s.skew.Store(int64(s.rnd.IntN(600)-300) * int64(time.Second)) }
	case 3:
		what, do = "role changed", s.changeRole
	case 4, 5:
		what, do = "schema changed", s.changeSchema
	case 6:
		what, do = "native restore", s.restore
	case 7:
		what, do = "retention run", func() {
			s.action("retention-run", map[string]any{"table": "task", "count": 1 + s.rnd.IntN(20)})
		}
	}
	s.did[what]++
	s.tell("%s", what)
	do()
}

// tell keeps what happened, for a storm that fails.
func (s *storm) tell(format string, args ...any) {
	s.story = append(s.story, fmt.Sprintf("after %d requests: "+format, append([]any{s.requests}, args...)...))
}

func (s *storm) changeRole() {
	table := stormNames[s.rnd.IntN(len(stormNames))]
	switch s.rnd.IntN(4) {
	case 0:
		s.depth(table, emu.DepthNone)
	case 1:
		s.depth(table, emu.DepthBasic)
	case 2:
		on := s.rnd.IntN(2) == 0
		for _, t := range slices.Sorted(maps.Keys(s.roles)) { // an administrator reads everything
			if on {
				s.depth(t, emu.DepthGlobal)
			}
		}
		s.administrator(on)
		return
	default:
		s.depth(table, emu.DepthGlobal)
	}
	s.roles[table] = true
}

func (s *storm) administrator(on bool) {
	s.action("set-administrator", map[string]any{"client_id": s.co.user.ClientID, "on": on})
	s.plain = !on
	s.tell("administrator: %v", on)
}

func (s *storm) changeSchema() {
	const card = "alp_loyaltycard"
	table := stormNames[s.rnd.IntN(len(stormNames))]
	switch n := s.rnd.IntN(6); {
	case n == 0 && len(s.added) > 0:
		s.action("remove-column", map[string]any{"table": "contact", "column": s.added[0]})
		s.added = s.added[1:]
	case n <= 1:
		name := fmt.Sprintf("new_column%d", len(s.added)+s.marks*10)
		if s.co.server.Model().Table("contact").Column(name) != nil {
			return
		}
		s.action("add-column", map[string]any{"table": "contact", "column": name, "kind": "String"})
		s.added = append(s.added, name)
	case n == 2:
		on := s.rnd.IntN(2) == 0
		s.action("set-tracking", map[string]any{"table": table, "on": on})
		s.tell("tracking of %s: %v", table, on)
	case n == 3:
		on := s.rnd.IntN(2) == 0
		s.action("set-secured", map[string]any{"table": table, "column": textColumns[table], "on": on})
		s.tell("%s of %s secured: %v", textColumns[table], table, on)
	case n == 4 && s.co.server.Store().Has(card):
		s.action("drop-table", map[string]any{"table": card})
		s.dropped[card] = true
	case n == 5 && !s.co.server.Store().Has(card):
		s.action("create-table", map[string]any{"table": card})
	default:
		return
	}
	s.mark() // a native restore brings the schema back too; here it does not
}

// restore puts the environment back to an earlier moment.
func (s *storm) restore() {
	s.cascaded()
	before := s.present()
	s.action("rewind-to", map[string]any{"name": fmt.Sprintf("mark %d", s.marks), "new_organization": s.rnd.IntN(3) == 0})
	after := s.present()
	for k := range after {
		if !before[k] {
			s.absent[k] = true
		}
	}
	for k := range before {
		if !after[k] {
			s.absent[k] = true
		}
	}
	s.administrator(!s.plain) // the rows of roles went back too, what the reader may see did not
	s.learn()
}

// someFaults draws what goes wrong in a round.
func (s *storm) someFaults() []emulator.Fault {
	kinds := []string{
		"throttle", "throttle", "status", "status", "reset", "reset-after", "truncate", "badjson", "html", "slow", "drip", "drip",
		"cyclic", "duplicate-page", "repeat-page", "repeat-page", "swap-pages", "swap-pages", "reverse-rows",
	}
	sets := []string{"", "", "", "", "accounts", "contacts", "tasks", "incidents", "leads", "annotations", "accountleadscollection", "systemusers", "EntityDefinitions", "WhoAmI"}
	list := make([]emulator.Fault, 4+s.rnd.IntN(8))
	for i := range list {
		f := emulator.Fault{Method: http.MethodGet, Kind: kinds[s.rnd.IntN(len(kinds))], Table: sets[s.rnd.IntN(len(sets))], Nth: 1 + s.rnd.IntN(30), Count: 1 + s.rnd.IntN(3)}
		if f.Table != "" {
			f.Nth = 1 + s.rnd.IntN(8)
		}
		switch f.Kind {
		case "throttle":
			f.RetryAfter = 1 + s.rnd.IntN(60)
			f.Count = 1 + s.rnd.IntN(6)
		case "status":
			f.Status = []int{500, 502, 503, 504}[s.rnd.IntN(4)]
			f.Count = 1 + s.rnd.IntN(8)
		case "slow", "drip":
			f.DelayMS = 1 + s.rnd.IntN(12)
		case "html":
			f.Status = []int{200, 502, 503}[s.rnd.IntN(3)]
			f.Count = 1
		case "reverse-rows":
			f.Count = -1
		}
		list[i] = f
	}
	return slices.Clip(list)
}

// struck counts the faults that struck.
func (s *storm) struck() {
	w := httptest.NewRecorder()
	s.inner.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/_emulator/faults", nil))
	var list []emulator.Fault
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
		s.t.Fatal(err)
	}
	for _, f := range list {
		s.did["fault "+f.Kind] += f.Hits
		if f.Hits > 0 {
			s.tell("%d × %s at %s, from the %d. on", f.Hits, f.Kind, f.Table, f.Nth)
		}
	}
}

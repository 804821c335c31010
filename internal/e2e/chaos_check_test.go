package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"allod"
	"allod/internal/act"
	"allod/internal/capture"
	"allod/internal/vault/verify"
)

// snapFacts is what is known of a snapshot that was taken.
type snapFacts struct {
	id   allod.SnapshotID
	sum  uint64          // of all its rows
	rows map[string]bool // table and key, as storm.present has them
}

// facts reads a snapshot whole.
func (s *storm) facts(id allod.SnapshotID) snapFacts {
	s.t.Helper()
	f := snapFacts{id: id, rows: map[string]bool{}}
	m := at("storm", id)
	schema, err := s.desk.Schema(s.t.Context(), m)
	if err != nil {
		s.t.Fatal(err)
	}
	var buf []byte
	for i := range schema.Tables {
		if schema.Tables[i].Unreadable != "" {
			continue
		}
		name := schema.Tables[i].Name
		table, rows, err := s.desk.Rows(s.t.Context(), m, name, "", 0)
		if err != nil {
			s.t.Fatalf("seed %d: snapshot %d, table %s: %v", s.seed, id, name, err)
		}
		for row, err := range rows {
			if err != nil {
				s.t.Fatalf("seed %d: snapshot %d, table %s: %v", s.seed, id, name, err)
			}
			buf = act.AppendJSON(buf[:0], table.Table, &row)
			f.sum += hash(buf) * (2*uint64(i) + 1)
			f.rows[name+" "+refName(&row)] = true
		}
	}
	return f
}

func refName(row *allod.Row) string {
	if ref := row.Ref(); ref.IsPair() {
		return pairName(ref.Pair[0], ref.Pair[1])
	}
	return row.Key.String()
}

// take looks at the snapshots that a backup left, and holds against the source
// what they say is gone.
func (s *storm) take() {
	s.t.Helper()
	list, err := s.desk.Snapshots(s.t.Context(), "storm")
	if err != nil {
		s.t.Fatal(err)
	}
	if len(list) == 0 {
		return
	}
	newest := slices.MaxFunc(list, func(a, b allod.Snapshot) int { return int(a.ID) - int(b.ID) })
	if n := len(s.snaps); n > 0 && s.snaps[n-1].id == newest.ID {
		return
	}
	f := s.facts(newest.ID)
	if n := len(s.snaps); n > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cascaded()
		here := s.present()
		for k := range s.snaps[n-1].rows {
			if !f.rows[k] && here[k] && !s.wasAbsent(k) {
				s.t.Errorf("seed %d: snapshot %d lacks %s, which was there all the time and in snapshot %d", s.seed, f.id, k, s.snaps[n-1].id)
			}
		}
	}
	s.snaps = append(s.snaps, f)
}

// check makes a quiet backup and looks at everything. Where that one says that
// it is not sure of the past, or of rows, another one is made.
func (s *storm) check() {
	s.t.Helper()
	res, err := s.desk.Backup(s.t.Context(), "storm", capture.Options{})
	unsure := err == nil && slices.ContainsFunc(res.Gaps, func(g allod.Gap) bool { return g.Kind == allod.GapConcurrentlyChanged })
	if allod.KindOf(err) == allod.Partial && s.did["native restore"] > 0 || unsure {
		s.did["second quiet backup"]++
		s.tell("the quiet backup was not sure: %v", err)
		res, err = s.desk.Backup(s.t.Context(), "storm", capture.Options{})
	}
	if err != nil {
		s.t.Fatalf("seed %d: the quiet backup: %v", s.seed, err)
	}
	for _, m := range res.PerTable {
		if stormRows[m.Table] > 0 {
			s.tell("%s: %s by %q, %d rows, %d deleted", m.Table, m.State, m.Method, m.Rows, m.Deleted)
		}
	}
	if !res.Complete {
		s.t.Errorf("seed %d: the quiet backup is not complete", s.seed)
	}
	s.take()
	s.equal(res)
	for i, was := range s.snaps[:len(s.snaps)-1] {
		if is := s.facts(was.id); is.sum != was.sum || len(is.rows) != len(was.rows) {
			s.t.Errorf("seed %d: snapshot %d, the %d. that was taken, is not what it was", s.seed, was.id, i+1)
		}
	}
	rep, err := s.desk.Verify(s.t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) > 0 {
		s.t.Errorf("seed %d: verify: %v %v", s.seed, err, rep.Bad)
	}
	if s.t.Failed() {
		s.t.Logf("repeat it with ALLOD_SEED=%d; gaps of the last backup: %+v\n%s", s.seed, openGaps(res), strings.Join(s.story, "\n"))
	}
}

// ask reads one JSON answer of the source with nothing but the standard
// library.
func (s *storm) ask(at string, into any) {
	s.t.Helper()
	if !strings.HasPrefix(at, "http") {
		at = s.co.url + "/api/data/v9.2/" + strings.ReplaceAll(at, " ", "%20")
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, at, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	token, _ := s.signIn(s.co.server.Users()[1])
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Prefer", `odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"`)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("GET %s: status %d: %v: %.300s", at, res.StatusCode, err, b)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		s.t.Fatalf("GET %s: %v", at, err)
	}
}

// equal compares the latest snapshot with the source, row by row and cell by
// cell.
func (s *storm) equal(res *capture.Result) {
	s.t.Helper()
	var tables struct {
		Value []struct {
			LogicalName, EntitySetName, PrimaryIdAttribute string
			IsIntersect                                    bool
		}
	}
	s.ask("EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute,IsIntersect", &tables)
	schema, err := s.desk.Schema(s.t.Context(), latest("storm"))
	if err != nil {
		s.t.Fatal(err)
	}
	ends := s.pairEnds()
	compared := 0
	for _, t := range tables.Value {
		st := schema.Table(t.LogicalName)
		if t.EntitySetName == "" || t.LogicalName == "activitypointer" {
			continue
		}
		if st == nil {
			s.t.Errorf("seed %d: table %s is not in the snapshot", s.seed, t.LogicalName)
			continue
		}
		if st.Unreadable != "" {
			continue
		}
		id := func(row map[string]any) string { return fmt.Sprint(row[t.PrimaryIdAttribute]) }
		e, pairs := ends[t.LogicalName]
		if pairs { // a pair is its two ends; making it again gives it another id
			id = func(row map[string]any) string { return end(row, e[0]) + " " + end(row, e[1]) }
		}
		live := map[string]map[string]any{}
		for next := t.EntitySetName; next != ""; {
			var page struct {
				Value []map[string]any
				Next  string `json:"@odata.nextLink"`
			}
			s.ask(next, &page)
			for _, row := range page.Value {
				live[id(row)] = row
			}
			next = page.Next
		}
		compared += s.equalTable(st, pairs, id, live)
	}
	if compared < s.rows/2 {
		s.t.Errorf("seed %d: only %d rows were compared", s.seed, compared)
	}
	s.did["row of the last snapshot compared"] += compared
	if s.t.Failed() {
		s.t.Logf("line %d (%s), %d rows, %d deleted", res.Line, res.LineReason, res.Rows, res.Deleted)
	}
}

// pairEnds names the two columns of each table of pairs.
func (s *storm) pairEnds() map[string][2]string {
	var list struct {
		Value []struct{ IntersectEntityName, Entity1IntersectAttribute, Entity2IntersectAttribute string }
	}
	s.ask("RelationshipDefinitions/Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata?$select=IntersectEntityName,Entity1IntersectAttribute,Entity2IntersectAttribute", &list)
	out := map[string][2]string{}
	for _, r := range list.Value {
		out[r.IntersectEntityName] = [2]string{r.Entity1IntersectAttribute, r.Entity2IntersectAttribute}
	}
	return out
}

func end(row map[string]any, column string) string {
	if v, ok := row[column]; ok {
		return fmt.Sprint(v)
	}
	return fmt.Sprint(row["_"+column+"_value"])
}

func (s *storm) equalTable(st *allod.Table, pairs bool, id func(map[string]any) string, live map[string]map[string]any) int {
	s.t.Helper()
	table, rows, err := s.desk.Rows(s.t.Context(), latest("storm"), st.Name, "", 0)
	if err != nil {
		s.t.Fatal(err)
	}
	// The key of users and teams has a second name that holds nothing of its own.
	skip := map[string]bool{"ownerid": st.Name == "systemuser" || st.Name == "team"}
	for i := range table.Columns {
		if c := &table.Columns[i]; c.Type == allod.File || c.Derived != "" || c.Unreadable != "" {
			skip[c.Name], skip["_"+c.Name+"_value"] = true, true
		}
	}
	n, shown := 0, 0
	complain := func(format string, args ...any) {
		if shown++; shown <= 3 {
			s.t.Errorf("seed %d, table %s: "+format, append([]any{s.seed, st.Name}, args...)...)
		}
	}
	var buf []byte
	for row, err := range rows {
		if err != nil {
			s.t.Fatal(err)
		}
		buf = act.AppendJSON(buf[:0], table.Table, &row)
		d := json.NewDecoder(bytes.NewReader(buf))
		d.UseNumber()
		have := map[string]any{}
		if err := d.Decode(&have); err != nil {
			s.t.Fatal(err)
		}
		key := id(have)
		want, ok := live[key]
		delete(live, key)
		if !ok {
			complain("%s is in the snapshot and not in the source", key)
			continue
		}
		n++
		for name, v := range want {
			if pairs {
				break
			}
			plain, note, _ := strings.Cut(name, "@")
			// A row version is no content: a row that says the same as before is not
			// stored anew for it.
			if skip[plain] || note != "" && note != "Microsoft.Dynamics.CRM.lookuplogicalname" {
				continue
			}
			if w, ok := have[name]; !ok || !sameJSON(v, w) {
				complain("%s: %s differs (stored: %v)", key, name, ok)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(live)) {
		complain("%s is in the source and not in the snapshot", key)
	}
	if shown > 3 {
		s.t.Errorf("seed %d, table %s: and %d more", s.seed, st.Name, shown-3)
	}
	return n
}

// sameJSON compares two JSON values; numbers by what they are worth.
func sameJSON(a, b any) bool {
	x, isX := a.(json.Number)
	y, isY := b.(json.Number)
	if isX && isY && x != y {
		p, okP := new(big.Rat).SetString(x.String())
		q, okQ := new(big.Rat).SetString(y.String())
		return okP && okQ && p.Cmp(q) == 0
	}
	return reflect.DeepEqual(a, b)
}

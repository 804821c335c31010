package e2e_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/act/erasure"
	"allod/internal/act/keys"
	"allod/internal/capture"
	"allod/internal/govern/gate"
	"allod/internal/vault"
)

// hits looks through everything that the vault opens, every version of every
// record of every table, for texts and an id, and says in which table and column
// they stand. It shares nothing with the plan of an erasure.
func hits(t *testing.T, d *desk, env string, id allod.GUID, texts []string) map[string]int {
	t.Helper()
	v, g, _, deps := d.Office.Inside()
	action := gate.ActionRead
	if env == vault.Office {
		action = gate.ActionOffice
	}
	s, err := g.Open(t.Context(), gate.Request{Actor: deps.Actor, Action: action, Purpose: allod.PurposeAnswerRequest, Resource: gate.Resource{Environment: env, Class: allod.ClassContent}})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := v.At(t.Context(), s, env, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	tables := snap.Schema().Tables
	for i := range tables {
		for version, err := range snap.Versions(t.Context(), tables[i].Name) {
			if err != nil {
				t.Fatal(err)
			}
			if version.Row == nil {
				continue
			}
			for j, c := range version.Table.Columns {
				cell := version.Row.Cell(j)
				found := cell.GUID() == id && (cell.Type() == allod.Lookup || cell.Type() == allod.ID)
				for _, text := range texts {
					found = found || cell.Type() != allod.Lookup && strings.Contains(strings.ToLower(cell.String()), strings.ToLower(text))
				}
				if version.Row.Key == id || found {
					out[tables[i].Name+"."+c.Name]++
				}
			}
		}
	}
	return out
}

// inFiles looks through the files of the Allod's folder, as they are, for texts.
func inFiles(t *testing.T, dir string, texts []string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, text := range texts {
			if strings.Contains(strings.ToLower(string(b)), strings.ToLower(text)) {
				out = append(out, e.Name()+": "+text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNothingNamesTheErased erases a contact with everything related, from
// snapshots in which she changed and was deleted, and looks through all that can
// be decrypted, and through every file of the folder, for her mail address,
// phone number, name and id: what is left stands in the plan, with its ground.
func TestNothingNamesTheErased(t *testing.T) {
	integration(t)
	clk := &clock{}
	co := startCompany(t, clk, nil)
	d := newDesk(t, clk)
	d.connect("prod", co.url)
	d.backup("prod", capture.Options{})

	var id allod.GUID
	var person map[string]any
	for _, row := range co.rows("contacts", "?$filter=emailaddress1 ne null and telephone1 ne null&$orderby=contactid") {
		if name, _ := row["fullname"].(string); len(name) > 8 {
			person = row
			break
		}
	}
	id, err := allod.ParseGUID(person["contactid"].(string))
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{id.String(), person["emailaddress1"].(string), person["telephone1"].(string), person["fullname"].(string)}
	co.call("PATCH", "contacts("+id.String()+")", map[string]any{"telephone1": "+43 5578 9090909", "jobtitle": "changed"})
	texts = append(texts, "+43 5578 9090909")
	if _, err := keys.BeginRoot(t.Context(), d.Office, "size"); err != nil { // versions of her lie under two roots
		t.Fatal(err)
	}
	clk.advance(time.Hour)
	d.backup("prod", capture.Options{})
	if _, err := d.Office.PlanRestore(t.Context(), act.RestoreRequest{From: at("prod", 1), Selection: act.RestoreSelection{Table: "contact", IDs: []string{id.String()}}, Conflict: "backup"}); err != nil {
		t.Fatal(err)
	}
	co.call("DELETE", "contacts("+id.String()+")", nil)
	clk.advance(time.Hour)
	d.backup("prod", capture.Options{})

	before := hits(t, d, "prod", id, texts)
	if before["contact.emailaddress1"] < 2 || before["contact.telephone1"] < 2 || len(inFiles(t, d.dir, texts[:1])) == 0 {
		t.Fatalf("before: the search finds %v, and in files %v", before, inFiles(t, d.dir, texts[:1]))
	}
	plan, err := erasure.Make(t.Context(), d.Office, erasure.Request{Environment: "prod", Table: "contact", IDs: []string{id.String()}, Related: []string{"all:1"}, Urgent: true})
	if err != nil {
		t.Fatal(err)
	}
	asked, err := erasure.Ask(t.Context(), d.Office, plan, "request of the person")
	if err != nil {
		t.Fatal(err)
	}
	if left := hits(t, d, "prod", id, texts); left["contact.emailaddress1"] != 0 {
		t.Errorf("asked for, and still shown: %v", left)
	}
	done, err := erasure.Run(t.Context(), d.Office, &asked.ID)
	if err != nil || len(done) != 1 || done[0].Final.IsZero() {
		t.Fatalf("run: got %+v, %v", done, err)
	}
	d.reopen()

	kept := map[string]string{}
	for _, k := range plan.Kept {
		kept[k.Table+"."+k.Column] = k.Ground
	}
	left := hits(t, d, "prod", id, texts)
	for _, where := range slices.Sorted(maps.Keys(left)) {
		t.Logf("left: %s in %d versions; kept, ground: %s", where, left[where], kept[where])
		if kept[where] == "" {
			t.Errorf("%s names her in %d versions, and the plan says nothing of it", where, left[where])
		}
		if strings.HasPrefix(where, "customeraddress.") || where == "contact.emailaddress1" {
			t.Errorf("%s is left", where)
		}
	}
	if found := inFiles(t, d.dir, texts); len(found) != 0 {
		t.Errorf("files of the folder: %v", found)
	}
}

// TestNothingHoldsTheWrongValue corrects the mail address of a contact in every
// version and looks through all that can be decrypted, what Allod keeps of
// itself included, and through every file of the folder: the wrong one is
// nowhere, the other values are where they were, and the next backup of the
// whole table changes nothing.
func TestNothingHoldsTheWrongValue(t *testing.T) {
	integration(t)
	clk := &clock{}
	co := startCompany(t, clk, nil)
	d := newDesk(t, clk)
	d.connect("prod", co.url)
	const wrong, right = "wrong.canary@example.com", "right.nightingale@example.com"
	person := co.rows("contacts", "?$filter=emailaddress1 ne null&$orderby=contactid")[0]
	id := person["contactid"].(string)
	change := func(cells map[string]any) {
		co.call("PATCH", "contacts("+id+")", cells)
		clk.advance(time.Hour)
		d.backup("prod", capture.Options{})
	}
	change(map[string]any{"emailaddress1": wrong, "jobtitle": "first"})
	change(map[string]any{"jobtitle": "second"})
	change(map[string]any{"emailaddress1": right, "jobtitle": "third"})
	key, err := allod.ParseGUID(id)
	if err != nil {
		t.Fatal(err)
	}
	const column = "contact.emailaddress1"
	jobs := func() int {
		return hits(t, d, "prod", allod.GUID{1}, []string{"first", "second", "third"})["contact.jobtitle"]
	}
	before, was := hits(t, d, "prod", allod.GUID{1}, []string{wrong}), jobs()
	if before[column] != 2 || len(before) != 1 {
		t.Fatalf("before: the search finds %v", before)
	}
	r := erasure.Rectification{Environment: "prod", Table: "contact", ID: key.String(), Values: erasure.Values{Set: map[string]string{"emailaddress1": right}}, Urgent: true}
	plan, err := erasure.MakeRectify(t.Context(), d.Office, r)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Counts["emailaddress1"] != 2 || len(plan.Warnings) != 0 {
		t.Errorf("plan: got %+v, want two versions and no warning", plan)
	}
	asked, err := erasure.AskRectify(t.Context(), d.Office, plan)
	if err != nil {
		t.Fatal(err)
	}
	done, err := erasure.Run(t.Context(), d.Office, &asked.ID)
	if err != nil || len(done) != 1 || done[0].Final.IsZero() {
		t.Fatalf("run: got %+v, %v", done, err)
	}
	d.reopen()
	if left := hits(t, d, "prod", allod.GUID{1}, []string{wrong}); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if got := hits(t, d, "prod", allod.GUID{1}, []string{right})[column]; got != 3 {
		t.Errorf("the right value stands in %d versions, want 3", got)
	}
	if got := jobs(); got != was {
		t.Errorf("other values: got %d, want %d", got, was)
	}
	if left := hits(t, d, vault.Office, allod.GUID{1}, []string{wrong, right}); len(left) != 0 {
		t.Errorf("left in the office: %v", left)
	}
	if found := inFiles(t, d.dir, []string{wrong, right}); len(found) != 0 {
		t.Errorf("files of the folder: %v", found)
	}
	clk.advance(time.Hour)
	if res := d.backup("prod", capture.Options{Full: true, Tables: []string{"contact"}}); res.Updated+res.Created+res.Deleted != 0 {
		t.Errorf("the next backup: got %+v, want no change", res)
	}
}

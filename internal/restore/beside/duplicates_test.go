package beside

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
)

// Rules that are published say what they would have found, and nothing else does.
func TestDuplicates(t *testing.T) {
	text, num, null := allod.StringValue, allod.IntegerValue, allod.NullValue()
	yes, no := allod.BooleanValue(true), allod.BooleanValue(false)
	rules := table(ruleTable, "name", "baseentityname", "matchingentityname", "statuscode", "iscasesensitive", "excludeinactiverecords")
	conditions := table(conditionTable, "regardingobjectid", "baseattributename", "matchingattributename", "operatorcode", "operatorparam", "ignoreblankvalues")
	look := func(put func(v *view), tables ...allod.Table) []string {
		t.Helper()
		snap, live := views(append([]allod.Table{table("contact", "mail", "name", "born", "statecode"), table("lead", "mail")}, tables...)...)
		snap.put("contact", 1, text("A@x.example"), text("Anna"), text("2001-02-03T04:05:06Z"), num(0))
		snap.put("contact", 2, null, text("Bert"), null, num(0))
		snap.put("contact", 3, text("c@x.example"), text("Carl"), null, num(0))
		live.put("contact", 11, text("a@x.example"), text("Annegret"), text("2001-02-03T10:00:00Z"), num(0))
		live.put("contact", 12, null, text("Norbert"), null, num(0))
		live.put("contact", 13, text("c@x.example"), text("C"), null, num(1))
		live.put("lead", 21, text("c@x.example"))
		put(live)
		p, w := making(t, "contact", []string{"mail"}, 1, 2, 3)
		if err := (Side{}).Look(t.Context(), p, snap, live); err != nil {
			t.Fatal(err)
		}
		finished(t, p, w)
		return p.Warnings
	}
	rule := func(v *view, n byte, name, match string, status int64, strict, active allod.Value, conditions ...[]allod.Value) {
		v.put(ruleTable, n, text(name), text("contact"), text(match), num(status), strict, active)
		for i, c := range conditions {
			v.put(conditionTable, n*10+byte(i), append([]allod.Value{allod.LookupValue(ruleTable, id(n))}, c...)...)
		}
	}
	cond := func(base, match string, operator, chars int64, ignore allod.Value) []allod.Value {
		return []allod.Value{text(base), text(match), num(operator), num(chars), ignore}
	}
	got := look(func(v *view) {
		rule(v, 1, "mail", "contact", published, no, no, cond("mail", "mail", exactMatch, 0, yes))
		rule(v, 2, "mail, blanks too", "contact", published, no, no, cond("mail", "mail", exactMatch, 0, no))
		rule(v, 3, "active mail", "contact", published, no, yes, cond("mail", "mail", exactMatch, 0, yes))
		rule(v, 4, "strict mail", "contact", published, yes, no, cond("mail", "mail", exactMatch, 0, yes))
		rule(v, 5, "beginning and day", "contact", published, no, no, cond("name", "name", firstChars, 3, yes), cond("born", "born", sameDate, 0, yes))
		rule(v, 6, "end", "contact", published, no, no, cond("name", "name", lastChars, 3, yes))
		rule(v, 7, "leads", "lead", published, no, no, cond("mail", "mail", exactMatch, 0, yes))
		rule(v, 8, "draft", "contact", 0, no, no, cond("mail", "mail", exactMatch, 0, yes))
		rule(v, 9, "empty", "contact", published, no, no)
		rule(v, 10, "strange", "contact", published, no, no, cond("mail", "mail", 99, 0, yes))
	}, rules, conditions)
	var want []string
	for _, r := range []string{"1 row contact active mail", "1 row contact beginning and day", "1 row contact end", "1 row lead leads", "2 rows contact mail", "3 rows contact mail, blanks too", "1 row contact strict mail"} {
		f := strings.SplitN(r, " ", 4)
		want = append(want, "contact: "+f[0]+" "+f[1]+" made again that the rule “"+f[3]+"” calls duplicate of what "+f[2]+" has; it is not asked")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got := look(func(*view) {}); len(got) > 0 {
		t.Errorf("without such tables: %q", got)
	}
	rules.Unreadable = "no privilege"
	if got := look(func(*view) {}, rules, conditions); len(got) != 1 || !strings.Contains(got[0], "does not let the restorer look") {
		t.Errorf("not readable: %q", got)
	}
}

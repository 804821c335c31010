package survey

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/source"
)

// Findings says what there is to know: the gravest first, then in the order of
// the topics. It is pure.
func Findings(f *Facts) []Finding {
	var out []Finding
	for _, decide := range []func(*Facts) []Finding{rights, tokens, tracking, excluded, fires, native, outside} {
		out = append(out, decide(f)...)
	}
	rank := map[Severity]int{Problem: 0, Warning: 1, Note: 2}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
	return out
}

// rights compares what the reader may see with everything.
func rights(f *Facts) []Finding {
	if f.Rights == nil {
		return []Finding{{
			Severity: Warning, Topic: RightsUnknown, What: "The source does not say what Allod may read.",
			Why: "A row that is missing may be deleted or hidden: no deletion can be proven.",
		}}
	}
	missing := Finding{
		Severity: Problem, Topic: RightsMissing, Why: "Their rows are in no backup.",
		Next: setupHint(f, "Or give the role of the application user these privileges, for the whole organization."),
	}
	partly := Finding{
		Severity: Problem, Topic: ReadDepth, Next: missing.Next,
		Why: "Rows of others are in no backup, deletions cannot be proven, and change tracking is refused.",
	}
	hidden := Finding{
		Severity: Problem, Topic: ColumnSecured, Why: "Their values are in no backup; they are stored as absent, never as empty.",
		Next: setupHint(f, "Or add the application user to a column security profile that may read them."),
	}
	for i := range f.Schema.Tables {
		t := &f.Schema.Tables[i]
		if t.Unreadable != "" || named(f.Excluded, t.Name) {
			continue
		}
		switch d := f.Rights.Depth[t.Name]; {
		case d == source.DepthNone:
			missing.Items = append(missing.Items, grant(f, t))
		case d != source.DepthGlobal:
			partly.Items = append(partly.Items, grant(f, t))
		}
		for _, c := range f.Rights.Hidden[t.Name] {
			if name := t.Name + "." + c; !named(f.Excluded, name) {
				hidden.Items = append(hidden.Items, Item{Name: name})
			}
		}
	}
	missing.What = fmt.Sprintf("%s may not be read.", count(len(missing.Items), "table", "tables"))
	partly.What = fmt.Sprintf("Of %s only part of the rows may be read.", count(len(partly.Items), "table", "tables"))
	hidden.What = fmt.Sprintf("Column security hides %s.", count(len(hidden.Items), "column", "columns"))
	var out []Finding
	for _, one := range []Finding{missing, partly, hidden} {
		if len(one.Items) > 0 {
			out = append(out, one)
		}
	}
	if f.Rights.Administrator {
		out = append(out, Finding{
			Severity: Warning, Topic: Administrator, What: "Allod reads as System Administrator.",
			Why:  "It works, but whoever gets hold of the secret may change everything. Reading needs less.",
			Next: setupHint(f, ""),
		})
	}
	return out
}

// grant names a table and the privileges that reading it takes.
func grant(f *Facts, t *allod.Table) Item {
	if p := f.Rights.Grants[t.Name]; len(p) > 0 {
		return Item{t.Name, strings.Join(p, " and ")}
	}
	return Item{t.Name, "System Administrator only, as far as is known"}
}

func setupHint(f *Facts, or string) string {
	return strings.TrimSpace(fmt.Sprintf("`allod setup dataverse %s --plan` shows the role that reads everything and writes nothing. %s", f.Environment, or))
}

// tokenAlarm is the age of a token from which on it is a problem, of the seven
// days it lives (design: alarm at three days without success).
const tokenAlarm = 3 * 24 * time.Hour

// tokens compares the oldest token with its life.
func tokens(f *Facts) []Finding {
	const why = "When a token has run out the next backup reads everything, and what was deleted meanwhile has no moment of its own."
	back := fmt.Sprintf("Run `allod backup %s`.", f.Environment)
	switch age := f.Now.Sub(f.OldestToken); {
	case f.LastGood.IsZero():
		return []Finding{{Severity: Warning, Topic: TokenAge, What: "Nothing was backed up yet.", Why: "What is lost before the first backup is in none.", Next: back}}
	case f.OldestToken.IsZero() || f.TokenLife == 0:
		return nil
	case age >= f.TokenLife:
		return []Finding{{Severity: Problem, Topic: TokenAge, What: fmt.Sprintf("The oldest change-tracking token is %s old; they live %s.", days(age), days(f.TokenLife)), Why: why, Next: back}}
	case age >= tokenAlarm:
		return []Finding{{
			Severity: Problem, Topic: TokenAge, Why: why, Next: back,
			What: fmt.Sprintf("The oldest change-tracking token is %s old and runs out on %s.", days(age), day(f.OldestToken.Add(f.TokenLife))),
		}}
	default:
		return []Finding{{Severity: Note, Topic: TokenAge, Why: why, What: fmt.Sprintf("The oldest change-tracking token is %s old; it runs out on %s.", days(age), day(f.OldestToken.Add(f.TokenLife)))}}
	}
}

// tracking lists tables that are read whole each time.
func tracking(f *Facts) []Finding {
	off := Finding{
		Severity: Warning, Topic: TrackingOff,
		Why: "Each backup reads them whole, and a row that came and went between two backups is never seen.",
		Next: "A System Customizer can switch it on (Tables, Properties, Track changes). It costs the platform a little space and work on every write, " +
			"cannot be switched off again, and the backup after it reads the table whole once more before it follows changes.",
	}
	never := Finding{
		Severity: Note, Topic: TrackingNever, Why: "The platform does not track them; each backup reads them whole.",
	}
	for i := range f.Schema.Tables {
		t := &f.Schema.Tables[i]
		if t.Tracking || t.Unreadable != "" || named(f.Excluded, t.Name) || f.Rights != nil && f.Rights.Depth[t.Name] == source.DepthNone {
			continue
		}
		if t.Intersect || f.Around != nil && slices.Contains(f.Around.NeverTracked, t.Name) {
			never.Items = append(never.Items, Item{Name: t.Name})
		} else {
			off.Items = append(off.Items, Item{Name: t.Name})
		}
	}
	off.What = fmt.Sprintf("Change tracking is off for %s.", count(len(off.Items), "table", "tables"))
	never.What = fmt.Sprintf("%s cannot be tracked.", count(len(never.Items), "table", "tables"))
	var out []Finding
	for _, one := range []Finding{off, never} {
		if len(one.Items) > 0 {
			out = append(out, one)
		}
	}
	return out
}

// excluded lists what is left out: by choice, by nature, and by class.
func excluded(f *Facts) []Finding {
	var out []Finding
	if len(f.Excluded) > 0 {
		one := Finding{
			Severity: Note, Topic: Excluded, What: fmt.Sprintf("The configuration leaves out %s.", count(len(f.Excluded), "table or column", "tables or columns")),
			Why: "What is excluded cannot be put back.",
		}
		for _, name := range slices.Sorted(slices.Values(f.Excluded)) {
			one.Items = append(one.Items, Item{Name: name})
		}
		out = append(out, one)
	}
	why := map[string][]Item{}
	classes := map[allod.Class]int{}
	for i := range f.Schema.Tables {
		t := &f.Schema.Tables[i]
		if t.Unreadable != "" {
			why[t.Unreadable] = append(why[t.Unreadable], Item{Name: t.Name})
			continue
		}
		classes[t.Class]++
	}
	for _, reason := range slices.Sorted(maps.Keys(why)) {
		items := why[reason]
		out = append(out, Finding{Severity: Note, Topic: Excluded, What: fmt.Sprintf("%s cannot be read by nature.", count(len(items), "table", "tables")), Why: strings.ToUpper(reason[:1]) + reason[1:] + ".", Items: items})
	}
	if n := classes[allod.ClassConfiguration] + classes[allod.ClassPlatform] + classes[allod.ClassSecurity]; n > 0 {
		out = append(out, Finding{
			Severity: Note, Topic: Classes,
			What: fmt.Sprintf("Of the tables that are backed up, a restore writes the %d of data and the %d of links.", classes[allod.ClassData], classes[allod.ClassLink]),
			Why: fmt.Sprintf("%d of configuration come back through solutions, %d of security are mapped, %d are the platform's own.",
				classes[allod.ClassConfiguration], classes[allod.ClassSecurity], classes[allod.ClassPlatform]),
			Next: fmt.Sprintf("`allod schema %s@live` lists each with its class and reason.", f.Environment),
		})
	}
	return out
}

// fires lists logic that a restore would set off, one finding per kind.
func fires(f *Facts) []Finding {
	if f.Around == nil {
		return nil
	}
	byKind := map[source.TriggerKind][]source.Trigger{}
	for _, t := range f.Around.Triggers {
		byKind[t.Kind] = append(byKind[t.Kind], t)
	}
	var out []Finding
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		one := Finding{Severity: Warning, Topic: Fires}
		one.Why, one.Next = consequence(kind)
		own := 0
		for _, t := range byKind[kind] {
			if !t.Managed {
				own++
			}
			one.Items = append(one.Items, Item{Name: cmp.Or(t.Table, "(several tables)"), Detail: t.Name})
		}
		one.What = fmt.Sprintf("A restore would set off %s, %d of them your own.", count(len(byKind[kind]), string(kind), string(kind)+"s"), own)
		out = append(out, one)
	}
	if len(f.Around.Unlisted) > 0 {
		one := Finding{
			Severity: Warning, Topic: FiresUnknown, What: "What else a restore would set off could not be read.",
			Why: "Flows, webhooks and plug-ins may send mail or change rows while rows are put back.", Next: setupHint(f, ""),
		}
		for _, t := range f.Around.Unlisted {
			one.Items = append(one.Items, Item{Name: t})
		}
		out = append(out, one)
	}
	return out
}

// consequence says what a kind of trigger does to a restore, and what against it
// (protocols/dataverse.md §6.9).
func consequence(k source.TriggerKind) (why, next string) {
	const bypass = "Restore with `--bypass plugins`, which takes prvBypassCustomBusinessLogic."
	switch k {
	case source.TriggerFlow:
		return "It would act on every row that comes back: mail, approvals, writes to other systems.", "Restore with `--bypass flows`."
	case source.TriggerWorkflow:
		return "It would act on every row that comes back.", bypass
	case source.TriggerRule:
		return "It may set or refuse values of rows that come back.", "Switch it off while you restore."
	case source.TriggerWebhook:
		return "Another system would be told of every row that comes back.", bypass
	default:
		return "It may change, refuse or copy rows that come back.", bypass
	}
}

// native says how far back the platform's own backups reach
// (protocols/dataverse.md §12.1).
func native(f *Facts) []Finding {
	if f.Around == nil {
		return nil
	}
	back := func(n int) string { return day(f.Now.AddDate(0, 0, -n)) }
	one := Finding{
		Severity: Note, Topic: NativeLastDay, What: fmt.Sprintf("The platform's own backups reach back %d days, to %s.", f.Around.NativeDays, back(f.Around.NativeDays)),
		Why: "What was lost before that day is in your vault only, or nowhere. A native restore overwrites a whole sandbox.",
	}
	if f.Around.NativeDays == 0 {
		one.What = fmt.Sprintf("The platform's own backups reach back to %s in production with Dynamics 365 apps, else to %s.", back(28), back(7))
	}
	if !f.LastGood.IsZero() && f.LastGood.Before(f.Now.AddDate(0, 0, -cmp.Or(f.Around.NativeDays, 7))) {
		one.Severity = Problem
		one.Why = "The last good backup is older than that: what was lost between the two is nowhere."
		one.Next = fmt.Sprintf("Run `allod backup %s`.", f.Environment)
	}
	return []Finding{one}
}

// outside names what no backup of the rows holds.
func outside(f *Facts) []Finding {
	var items []Item
	if f.Around != nil {
		for _, o := range f.Around.Outside {
			items = append(items, Item{Name: o.What, Detail: o.Text()})
		}
	}
	if f.Rights != nil {
		for _, name := range slices.Sorted(maps.Keys(f.Rights.RetentionRuns)) {
			items = append(items, Item{name, "rows retained until " + day(f.Rights.RetentionRuns[name])})
		}
	}
	if len(items) == 0 {
		return nil
	}
	return []Finding{{
		Severity: Note, Topic: OutsideBackups, What: "Some of what people see here is no row of this environment.",
		Why: "It is in no backup and no restore of Allod.", Items: items, Next: "Back it up where it lies.",
	}}
}

func named(list []string, name string) bool { return slices.Contains(list, name) }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// days is a length of time in whole days, or hours below two days.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return count(int(d/time.Hour), "hour", "hours")
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}

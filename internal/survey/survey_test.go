package survey

import (
	"context"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/source"
)

var now = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// well is an environment of which there is nothing grave to say.
func well() *Facts {
	return &Facts{
		Environment: "prod", Now: now, TokenLife: 7 * 24 * time.Hour, OldestToken: now.Add(-5 * time.Hour), LastGood: now.Add(-5 * time.Hour),
		Schema: &allod.Schema{Tables: []allod.Table{
			{Name: "account", SchemaName: "Account", Class: allod.ClassData, Tracking: true},
			{Name: "task", SchemaName: "Task", Class: allod.ClassData, Tracking: true, Activity: true},
		}},
		Rights: &source.Rights{
			Depth:  map[string]source.Depth{"account": source.DepthGlobal, "task": source.DepthGlobal},
			Grants: map[string][]string{"task": {"prvReadActivity"}},
		},
		Around: &source.Surroundings{NativeDays: 28},
	}
}

func topics(found []Finding) (out []string) {
	for _, f := range found {
		out = append(out, string(f.Severity)+" "+string(f.Topic))
	}
	return out
}

// Each fact by itself changes what is said in the way that is expected of it.
func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Facts)
		want   []string // besides what is said of a healthy environment
		gone   []string
		items  []Item // of the first finding
	}{
		{name: "healthy", change: func(*Facts) {}},
		{
			name: "no right", change: func(f *Facts) { delete(f.Rights.Depth, "account") },
			want: []string{"problem rights-missing"}, items: []Item{{"account", "System Administrator only, as far as is known"}},
		},
		{
			name: "no right on an activity", change: func(f *Facts) { f.Rights.Depth["task"] = source.DepthBasic },
			want: []string{"problem read-depth"}, items: []Item{{"task", "prvReadActivity"}},
		},
		{name: "no right on what is excluded", change: func(f *Facts) {
			delete(f.Rights.Depth, "account")
			f.Excluded = []string{"account"}
		}, want: []string{"note excluded"}},
		{
			name: "secured column", change: func(f *Facts) { f.Rights.Hidden = map[string][]string{"account": {"iban"}} },
			want: []string{"problem column-secured"}, items: []Item{{Name: "account.iban"}},
		},
		{name: "secured column that is excluded", change: func(f *Facts) {
			f.Rights.Hidden = map[string][]string{"account": {"iban"}}
			f.Excluded = []string{"account.iban"}
		}, want: []string{"note excluded"}},
		{name: "rights unknown", change: func(f *Facts) { f.Rights = nil }, want: []string{"warning rights-unknown"}},
		{name: "administrator", change: func(f *Facts) { f.Rights.Administrator = true }, want: []string{"warning administrator"}},
		{
			name: "token in alarm", change: func(f *Facts) { f.OldestToken = now.Add(-3 * 24 * time.Hour) },
			want: []string{"problem token-age"}, gone: []string{"note token-age"},
		},
		{
			name: "token just not in alarm", change: func(f *Facts) { f.OldestToken = now.Add(-3*24*time.Hour + time.Second) },
		},
		{
			name: "token dead", change: func(f *Facts) { f.OldestToken = now.Add(-7 * 24 * time.Hour) },
			want: []string{"problem token-age"}, gone: []string{"note token-age"},
		},
		{name: "no token", change: func(f *Facts) { f.OldestToken = time.Time{} }, gone: []string{"note token-age"}},
		{
			name: "never backed up", change: func(f *Facts) { f.LastGood, f.OldestToken = time.Time{}, time.Time{} },
			want: []string{"warning token-age"}, gone: []string{"note token-age"},
		},
		{
			name: "tracking off", change: func(f *Facts) { f.Schema.Tables[0].Tracking = false },
			want: []string{"warning tracking-off"}, items: []Item{{Name: "account"}},
		},
		{name: "tracking off where nothing is read", change: func(f *Facts) {
			f.Schema.Tables[0].Tracking = false
			f.Schema.Tables[0].Unreadable = "virtual"
		}, want: []string{"note excluded"}},
		{
			name: "tracking never", change: func(f *Facts) {
				f.Schema.Tables[0].Tracking = false
				f.Around.NeverTracked = []string{"account"}
			},
			want: []string{"note tracking-never"},
		},
		{name: "pairs are never tracked", change: func(f *Facts) {
			f.Schema.Tables[0].Tracking, f.Schema.Tables[0].Intersect = false, true
		}, want: []string{"note tracking-never"}},
		{name: "class", change: func(f *Facts) { f.Schema.Tables[1].Class = allod.ClassPlatform }, want: []string{"note classes"}},
		{name: "two kinds of triggers", change: func(f *Facts) {
			f.Around.Triggers = []source.Trigger{{Kind: source.TriggerFlow, Name: "Mail"}, {Kind: source.TriggerWebhook, Name: "Shop", Table: "account"}}
		}, want: []string{"warning fires", "warning fires"}, items: []Item{{"(several tables)", "Mail"}}},
		{name: "triggers unknown", change: func(f *Facts) { f.Around.Unlisted = []string{"workflow"} }, want: []string{"warning fires-unknown"}},
		{name: "source that cannot say", change: func(f *Facts) { f.Around = nil }, gone: []string{"note native-last-day"}},
		{
			name: "backup older than the platform's", change: func(f *Facts) { f.LastGood = now.AddDate(0, 0, -29) },
			want: []string{"problem native-last-day"}, gone: []string{"note native-last-day"},
		},
		{
			name: "how far the platform's reach is not known", change: func(f *Facts) { f.Around.NativeDays, f.LastGood = 0, now.AddDate(0, 0, -8) },
			want: []string{"problem native-last-day"}, gone: []string{"note native-last-day"},
		},
		{name: "outside", change: func(f *Facts) {
			f.Around.Outside = []source.Outside{{What: "documents", Of: "places", Count: 4}}
		}, want: []string{"note outside"}},
		{name: "retained", change: func(f *Facts) {
			f.Rights.RetentionRuns = map[string]time.Time{"account": now}
		}, want: []string{"note outside"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := well()
			c.change(f)
			found := Findings(f)
			want := slices.Concat(c.want, []string{"note token-age", "note native-last-day"})
			want = slices.DeleteFunc(want, func(s string) bool { return slices.Contains(c.gone, s) })
			got := topics(found)
			slices.Sort(got)
			slices.Sort(want)
			if d := cmp.Diff(got, want); d != "" {
				t.Fatalf("-got +want:\n%s", d)
			}
			if c.items != nil && !cmp.Equal(found[0].Items, c.items) {
				t.Errorf("items: got %v, want %v", found[0].Items, c.items)
			}
			for _, one := range found {
				if one.What == "" || one.Why == "" || one.Severity == Problem && one.Next == "" {
					t.Errorf("%s lacks words: %+v", one.Topic, one)
				}
			}
		})
	}
}

func TestFindingsAreSortedByGravity(t *testing.T) {
	f := well()
	delete(f.Rights.Depth, "account")
	f.Schema.Tables[1].Tracking = false
	got := topics(Findings(f))
	want := []string{"problem rights-missing", "warning tracking-off", "note token-age", "note native-last-day"}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("-got +want:\n%s", d)
	}
}

func TestNativeLastDay(t *testing.T) {
	for _, c := range []struct {
		days int
		want string
	}{
		{28, "The platform's own backups reach back 28 days, to 2026-10-24."},
		{7, "The platform's own backups reach back 7 days, to 2026-11-14."},
		{0, "The platform's own backups reach back to 2026-10-24 in production with Dynamics 365 apps, else to 2026-11-14."},
	} {
		f := well()
		f.Around.NativeDays = c.days
		if got := native(f)[0].What; got != c.want {
			t.Errorf("%d days: got %q, want %q", c.days, got, c.want)
		}
	}
}

// mute is a source that can only describe and read.
type mute struct{ schema *allod.Schema }

func (m mute) Describe(context.Context) (*allod.Schema, error) { return m.schema, nil }
func (m mute) Capabilities() source.Capabilities               { return source.Capabilities{DeltaLife: time.Hour} }

func (m mute) Read(context.Context, source.ReadRequest) iter.Seq2[source.Page, error] {
	return func(func(source.Page, error) bool) {}
}

// frank can also say what may be read.
type frank struct {
	mute
	rights *source.Rights
	err    error
}

func (f frank) Rights(context.Context, *allod.Schema) (*source.Rights, error) { return f.rights, f.err }

func (f frank) Inspect(context.Context, *allod.Schema) (*source.Surroundings, error) {
	return &source.Surroundings{NativeDays: 7}, f.err
}

func TestLook(t *testing.T) {
	schema := well().Schema
	f, err := Look(t.Context(), mute{schema}, Facts{Environment: "prod"})
	if err != nil || f.Schema != schema || f.TokenLife != time.Hour || f.Rights != nil || f.Around != nil || Gaps(f) != nil {
		t.Errorf("got %+v, %v", f, err)
	}
	rights := &source.Rights{Depth: map[string]source.Depth{"task": source.DepthLocal}, Hidden: map[string][]string{"task": {"body"}}}
	f, err = Look(t.Context(), frank{mute{schema}, rights, nil}, Facts{})
	if err != nil || f.Around.NativeDays != 7 {
		t.Fatalf("got %+v, %v", f, err)
	}
	var got []string
	for _, g := range Gaps(f) {
		got = append(got, string(g.Kind)+" "+g.Table+"."+g.Column)
	}
	if d := cmp.Diff(got, []string{"table-unreadable account.", "read-depth task.", "column-secured task.body"}); d != "" {
		t.Errorf("gaps (-got +want):\n%s", d)
	}
	if _, err = Look(t.Context(), frank{mute{schema}, nil, allod.Errorf(allod.Unavailable, "gone")}, Facts{}); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("got %v", err)
	}
}

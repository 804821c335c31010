package e2e_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/capture"
	"allod/internal/emulator"
	"allod/internal/emulator/powerplatform"
	"allod/internal/history"
	"allod/internal/runlog"
	"allod/internal/source"
	client "allod/internal/source/powerplatform"
)

// platform is a Power Platform with a production environment, which is the
// company, a sandbox that is the same company, and the default environment.
type platform struct {
	url                       string
	production, sandbox, base allod.GUID
}

func startPlatform(t *testing.T, s *scene) *platform {
	t.Helper()
	p := &platform{production: allod.GUID{15: 1}, sandbox: s.co.server.EnvironmentID(), base: allod.GUID{15: 3}}
	keep := s.co.server.Keep
	server, err := powerplatform.New(powerplatform.Options{
		Authority: emulator.NewAuthority(false, nil), Now: s.clock.Now, PageSize: 2, Ready: time.Minute,
		Environments: []powerplatform.Environment{
			{ID: p.production, Name: "production", Kind: powerplatform.Production, Dynamics: true, Region: "europe", Keep: keep},
			{
				ID: p.sandbox, Name: "sandbox", Kind: powerplatform.Sandbox, Region: "europe", Keep: keep,
				Administer: s.co.server.Administer,
				Take:       func(_ allod.GUID, point string, keepAudit bool) error { return s.co.server.TakeBack(point, keepAudit) },
			},
			{ID: p.base, Name: "default", Kind: powerplatform.Default, Keep: keep},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server.Handler())
	t.Cleanup(h.Close)
	p.url = h.URL
	return p
}

func (p *platform) client(t *testing.T, s *scene, id allod.GUID) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Environment: "demo", ID: id, URL: p.url, Now: s.clock.Now, Sleep: s.clock.sleep})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The platform's own backups: made by hand, listed over pages, ended by
// themselves after 28 or 7 days, deleted.
func TestNativeBackups(t *testing.T) {
	s := &scene{t: t, clock: &clock{}}
	s.co = startCompany(t, s.clock, nil)
	p := startPlatform(t, s)
	c := p.client(t, s, p.production)
	for _, label := range []string{"one", "two", "three"} {
		s.clock.advance(time.Hour)
		if _, err := c.Create(t.Context(), label); err != nil {
			t.Fatal(err)
		}
	}
	list, err := c.List(t.Context())
	if err != nil || len(list) != 3 || list[2].Label != "three" || list[2].Creator != "Application" {
		t.Fatalf("listed %+v, %v", list, err)
	}
	if kept := list[0].Expires.Sub(list[0].Point); kept != 28*24*time.Hour {
		t.Errorf("production is kept for %s", kept)
	}
	if b, err := p.client(t, s, p.sandbox).Create(t.Context(), "short"); err != nil || b.Expires.Sub(b.Point) != 7*24*time.Hour {
		t.Errorf("a sandbox is kept from %s to %s, %v", b.Point, b.Expires, err)
	}
	if err := c.Delete(t.Context(), list[1].ID); err != nil {
		t.Error(err)
	}
	if err := c.Delete(t.Context(), list[1].ID); allod.KindOf(err) != allod.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
	if _, err := p.client(t, s, p.base).Create(t.Context(), "default"); allod.KindOf(err) != allod.Invalid || !strings.Contains(err.Error(), "DefaultEnvironment") {
		t.Errorf("the default environment: %v", err)
	}
	s.clock.advance(28*24*time.Hour - 90*time.Minute)
	if list, err := c.List(t.Context()); err != nil || len(list) != 1 || list[0].Label != "three" {
		t.Errorf("after 28 days: %+v, %v", list, err)
	}
}

// A restore by the platform is refused where the documentation says so, and
// where it is carried out the next backup is a new line that equals what is
// there.
func TestNativeRestoreByThePlatform(t *testing.T) {
	s := newScene(t, nil)
	p := startPlatform(t, s)
	c := p.client(t, s, p.sandbox)
	b, err := c.Create(t.Context(), "before")
	if err != nil {
		t.Fatal(err)
	}
	s.clock.advance(time.Minute)
	for name, r := range map[string]source.NativeRestore{
		"production":     {Target: p.production, At: b.Point},
		"the future":     {Target: p.sandbox, At: b.Point.Add(24 * time.Hour)},
		"too long ago":   {Target: p.sandbox, At: b.Point.Add(-8 * 24 * time.Hour)},
		"another region": {Target: p.base, At: b.Point},
	} {
		if err := c.Check(t.Context(), r); allod.KindOf(err) != allod.Invalid || allod.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	id, _ := s.contactWithPhone()
	s.co.call(http.MethodDelete, "contacts("+id+")", nil)
	s.desk.backup("demo", capture.Options{})
	want := source.NativeRestore{Target: p.sandbox, At: b.Point}
	if err := c.Check(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if status, _ := s.co.try(http.MethodGet, "contacts("+id+")", nil); status != http.StatusNotFound {
		t.Fatalf("asking changed something: status %d", status)
	}
	begun := s.clock.Now()
	if err := c.Restore(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if waited := s.clock.Now().Sub(begun); waited < time.Minute {
		t.Errorf("it did not wait for the end: %s", waited)
	}
	s.co.call(http.MethodGet, "contacts("+id+")", nil)
	if res := s.desk.backup("demo", capture.Options{}); res.Line != 2 {
		t.Errorf("line %d after a restore by the platform, want 2", res.Line)
	}
	s.desk.wantSame(latest("demo"), live("demo"), history.Options{})
}

// The office plans before it restores, refuses moments that the platform no
// longer has, and finds a backup by its label.
func TestOfficeAndThePlatform(t *testing.T) {
	s := &scene{t: t, clock: &clock{}}
	s.co, s.desk = startCompany(t, s.clock, nil), newDesk(t, s.clock)
	s.desk.connect("demo", s.co.url)
	p := startPlatform(t, s)
	s.desk.deps.OpenNative = func(_ context.Context, _ string, _ act.Connection, id allod.GUID) (source.Native, error) {
		return p.client(t, s, id), nil
	}
	s.desk.reopen()
	s.desk.backup("demo", capture.Options{})
	if _, err := s.desk.NativeBackup(t.Context(), "demo", "before"); err != nil {
		t.Fatal(err)
	}
	for run, err := range s.desk.Runs(t.Context(), time.Time{}) {
		if err != nil || run.Result != runlog.Done {
			t.Errorf("a backup of the platform's counts as a run of Allod's: %+v, %v", run, err)
		}
		break
	}
	s.clock.advance(time.Minute)
	r, err := s.desk.PlanNativeRestore(t.Context(), "demo", "demo", time.Time{}, "before", false)
	if err != nil || r.Backup.Label != "before" {
		t.Fatalf("planned %+v, %v", r, err)
	}
	if _, err := s.desk.PlanNativeRestore(t.Context(), "demo", "demo", time.Time{}, "nobody's", false); allod.KindOf(err) != allod.NotFound {
		t.Errorf("an unknown backup: %v", err)
	}
	if _, err := s.desk.PlanNativeRestore(t.Context(), "demo", "demo", s.clock.Now().Add(-40*24*time.Hour), "", false); allod.KindOf(err) != allod.Invalid {
		t.Errorf("40 days ago: %v", err)
	}
	if err := s.desk.ApplyNativeRestore(t.Context(), r); err != nil {
		t.Error(err)
	}
	if res := s.desk.backup("demo", capture.Options{}); res.Line != 2 || !strings.Contains(res.LineReason, "allod native restore") {
		t.Errorf("behind a restore that Allod asked for: line %d, %q", res.Line, res.LineReason)
	}
	if res := s.desk.backup("demo", capture.Options{}); res.Line != 2 || res.LineReason != "" {
		t.Errorf("the one after it: line %d, %q", res.Line, res.LineReason)
	}
	if err := s.desk.DeleteNativeBackup(t.Context(), "demo", r.Backup.ID); err != nil {
		t.Error(err)
	}
	if list, err := s.desk.NativeBackups(t.Context(), "demo"); err != nil || len(list) != 0 {
		t.Errorf("%d backups are left, %v", len(list), err)
	}
}

package job

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/durable"
	"allod/internal/runlog"
)

// The locks of slots are renewed with every task, whatever becomes of it.
func TestDoRenewsLocks(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	stores := map[string]*mem.Store{}
	deps := act.Deps{
		OpenStore: func(_ context.Context, path string, _ bool) (blob.Mutable, error) {
			name := filepath.Base(path)
			if stores[name] == nil {
				stores[name] = mem.New(mem.Options{Now: clock})
			}
			return stores[name], nil
		},
		Now: clock, Actor: "os:test", Disk: &durable.Disk{},
	}
	dir := filepath.Join(t.TempDir(), "allod")
	if _, err := act.Init(t.Context(), dir, act.InitOptions{Key: "file:main.key"}, deps); err != nil {
		t.Fatal(err)
	}
	d := &Desk{Dir: dir, Deps: deps}
	for _, tt := range []struct {
		task Task
		want allod.Kind
	}{{Task{What: runlog.Verify}, 0}, {Task{What: runlog.Compact}, 0}, {Task{What: runlog.Backup, Environment: "nowhere"}, allod.NotFound}} {
		line, err := d.Do(t.Context(), tt.task)
		if tt.want == 0 && err != nil || tt.want != 0 && allod.KindOf(err) != tt.want {
			t.Errorf("%s: got %q, %v, want %v", tt.task.Name(), line, err, tt.want)
		}
		until, err := stores["slots"].LockedUntil(t.Context(), "slots/paper@1")
		if want := now.AddDate(0, 0, 14); err != nil || !until.Equal(want) {
			t.Errorf("after %s: locked until %s, %v, want %s", tt.task.Name(), until, err, want)
		}
		now = now.AddDate(0, 0, 1)
	}
}

package e2e_test

import (
	"context"
	"iter"
	"strconv"
	"sync"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/capture"
	"allod/internal/source"
	"allod/internal/source/dataverse"
)

// meeting is a source that reads account when somebody looks for missing
// contacts, and finds those only when the accounts are done.
type meeting struct {
	*dataverse.Source
	looking, done chan struct{}
	once          *sync.Once
}

func (m *meeting) Read(ctx context.Context, req source.ReadRequest) iter.Seq2[source.Page, error] {
	return func(yield func(source.Page, error) bool) {
		if req.Table.Name == "account" {
			wait(m.looking)
		}
		m.Source.Read(ctx, req)(yield)
	}
}

func (m *meeting) Get(ctx context.Context, t *allod.Table, keys []allod.GUID, columns []string) ([]allod.Row, error) {
	if t.Name == "contact" && len(keys) == meetingRows { // not the witnesses of the line
		m.once.Do(func() { close(m.looking) })
		wait(m.done)
		time.Sleep(300 * time.Millisecond) // long enough for a commit of what is finished
	}
	return m.Source.Get(ctx, t, keys, columns)
}

const meetingRows = 100

// TestCommitWhileDeletionsAreProven commits one table while another one still
// asks whether its missing rows are deleted: the deletions must not get lost.
func TestCommitWhileDeletionsAreProven(t *testing.T) {
	t.Parallel()
	c := &clock{}
	co := startCompany(t, c, nil)
	m := &meeting{looking: make(chan struct{}), done: make(chan struct{}), once: &sync.Once{}}
	d := newDesk(t, c)
	met := false
	d.deps.OpenSource = func(_ context.Context, env string, conn act.Connection) (source.Source, error) {
		src, err := dataverse.New(dataverse.Options{Environment: env, URL: conn.URL, Now: c.Now})
		if err != nil || !met {
			return src, err
		}
		m.Source = src
		return m, nil
	}
	d.reopen()
	d.connect("dev", co.url)
	tables := []string{"account", "contact"}
	d.backup("dev", capture.Options{Tables: tables})
	before := d.rowsAt(latest("dev"), "contact")

	gone := co.rows("contacts", "?$select=contactid&$top="+strconv.Itoa(meetingRows))
	for _, row := range gone {
		co.call("DELETE", "contacts("+row["contactid"].(string)+")", nil)
	}
	met = true
	var done sync.Once
	res := d.backup("dev", capture.Options{Tables: tables, Full: true, Parallel: 2, CommitEvery: time.Nanosecond, Progress: func(p capture.Progress) {
		if p.TablesDone > 0 {
			done.Do(func() { close(m.done) })
		}
	}})
	if res.Deleted != int64(len(gone)) || !res.Complete {
		t.Errorf("deleted %d rows, complete %v; want %d: %+v", res.Deleted, res.Complete, len(gone), res.Gaps)
	}
	if got, want := d.rowsAt(latest("dev"), "contact"), before-len(gone); got != want {
		t.Errorf("contacts in the vault: got %d, want %d of %d", got, want, before)
	}
}

// wait waits for c to be closed, at most ten seconds: then the test fails by
// what it looks at, not by hanging.
func wait(c chan struct{}) {
	select {
	case <-c:
	case <-time.After(10 * time.Second):
	}
}

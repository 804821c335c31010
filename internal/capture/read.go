package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"allod"
	"allod/internal/capture/judge"
	"allod/internal/capture/sight"
	"allod/internal/source"
	"allod/internal/vault"
)

const (
	fetchBatch  = 200   // rows fetched by id at once; sources answer so many at once
	settleRows  = 1000  // changes during a read that are few enough to stop chasing
	settleTries = 5     // rounds of chasing before saying so
	confirmMax  = 50000 // missing rows looked up one by one; more need a person
)

// readOnce reads one table by its token or from the start, and settles what
// is deleted. Rights that change while it reads make it begin again once.
func (r *runner) readOnce(ctx context.Context, j job) error {
	for again := true; ; again = false {
		t := r.newTableRun(j)
		err := t.read(ctx)
		if err == nil {
			err = t.settle(ctx)
		}
		if t.w != nil {
			t.w.Discard() // nothing once it is finished
		}
		t.memory.drop()
		if !errors.Is(err, errRightsChanged) || !again {
			return err
		}
		if j, err = r.refresh(ctx, j.table, func(allod.GapKind) bool { return true }); err != nil {
			return err
		}
		j.full = true
	}
}

// errRightsChanged says that the reader sees other columns than when the read
// began, so that nulls it read may be none.
var errRightsChanged = allod.Errorf(allod.Denied, "the rights of the application user changed while the table was being read")

func (r *runner) newTableRun(j job) *tableRun {
	r.mu.Lock()
	defer r.mu.Unlock()
	ts := r.state.Tables[j.table.Name]
	t := &tableRun{
		notes:  judge.NewNotes(j.table.Name, r.before, max(ts.High, r.schema.Identity.HighestVersion)),
		runner: r, job: j, started: r.o.Now().UTC(), before: r.rights, memory: claim{of: r.memory},
		sameLine: ts.Run != "", ts: j.stateFrom(ts, r.rights),
	}
	// Rights may have been asked for again since the table was chosen.
	t.track = t.track && r.seesAll(t.table.Name)
	t.full = t.full || !t.track || t.ts.Delta == (source.Cursor{})
	if r.first.IsZero() || t.started.Before(r.first) {
		r.first = t.started
	}
	return t
}

// refresh reads the rights again, forgets gaps of the table and chooses it anew.
func (r *runner) refresh(ctx context.Context, t *allod.Table, forget func(allod.GapKind) bool) (job, error) {
	rights, err := r.asker.Since(ctx, r.asker.Moment())
	if err != nil {
		return job{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rights = rights
	r.gaps = slices.DeleteFunc(r.gaps, func(g allod.Gap) bool { return g.Table == t.Name && forget(g.Kind) })
	j, ok := r.chooseTable(t)
	if !ok {
		return job{}, allod.Errorf(allod.Denied, "read %s: the application user may not read this table any more", t.Name)
	}
	return j, nil
}

// tableRun is one read of one table.
type tableRun struct {
	*runner
	job
	ts      TableState
	w       *vault.TableWriter
	mode    vault.Mode
	started time.Time
	before  *source.Rights // as known before the read; nil = the source cannot say
	memory  claim
	parts   parts

	doubts    sight.Doubts
	twoPages  bool  // there is room to read a page ahead
	rows      int64 // read since the last checkpoint
	any       bool  // rows were read at all
	high      uint64
	notes     judge.Notes
	ended     bool  // the last page came
	endedAt   int64 // moment it had come
	first     bool  // the vault holds nothing of this table yet
	method    string
	gone      map[allod.GUID]bool // said to be deleted, and not seen since
	again     map[allod.GUID]bool // to be read again by the next capture
	owed      []allod.GUID        // what the capture before left to be read again, until that is done
	owedFiles int64               // files that it left unread
	behind    map[allod.GUID]bool // of them, those that the source has newer than it answered
	sameLine  bool                // the table was read on this line before
	tooMany   bool                // more rows than again holds
	unproven  bool                // rows are missing, and it is not known why
	changes   vault.Changes
	alive     int64 // rows alive once this is committed
	unread    int64 // files whose bytes were not read
	unreadWhy string
}

func (t *tableRun) open(ctx context.Context, mode vault.Mode) error {
	w, err := t.run.Table(ctx, t.table, mode)
	t.w, t.mode = w, mode
	return fatal(err)
}

func (t *tableRun) read(ctx context.Context) error {
	if err := t.small(ctx); err != nil {
		return err
	}
	if !t.full {
		t.method = "delta"
		if err := t.open(ctx, vault.ModeDelta); err != nil {
			return err
		}
		if t.unreadBefore() {
			t.unread, t.unreadWhy, t.tooMany = t.ts.Unread, "files were left out with --no-files", true
		}
		if _, err := t.follow(ctx); err != nil {
			return err
		}
		t.ended = true
		return t.readAgain(ctx, t.ts.Again)
	}
	// Only a token tells what became of the pages that were read before.
	resumed := t.ts.Resume != (source.Cursor{}) && t.ts.Delta != (source.Cursor{})
	t.first = resumed || t.ts.Rows == 0 && t.ts.ReadAt.IsZero()
	t.method = "full"
	mode := vault.ModeFull
	if t.first {
		mode = vault.ModeDelta // nothing can be missing; what is read can be committed as it comes
	}
	if err := t.open(ctx, mode); err != nil {
		return err
	}
	if resumed {
		return t.resume(ctx)
	}
	return t.readStart(ctx)
}

// resume goes on where a first read was cut off. Whatever the source has
// against that, other than not being there, the read begins anew.
func (t *tableRun) resume(ctx context.Context) error {
	again := t.ts.Again
	if len(again) == 0 && t.ts.Unread > 0 {
		t.unread, t.unreadWhy, t.tooMany = t.ts.Unread, "files could not be read before the read was cut off", true
	}
	if len(again) > 0 { // checkpoints carry it on
		t.owed, t.owedFiles = again, t.ts.Unread
	}
	t.parts.keys = t.ts.Left
	err := t.readLong(ctx, t.ts.Resume)
	if err == nil {
		t.owed, t.owedFiles = nil, 0
		err = t.readAgain(ctx, again)
	}
	var end *fatalError
	if err == nil || ctx.Err() != nil || errors.As(err, &end) || errors.Is(err, source.ErrDeltaExpired) || allod.KindOf(err) == allod.Unavailable {
		return err
	}
	return fmt.Errorf("%w: %w", errNoResume, err)
}

// readStart reads from the beginning. How many rows there are nobody knows: a
// table that fits a small page is read and tracked in one request, so that many
// of them can be read at once, and one that fits a full page in one more. A
// longer one gets its token first, so that nothing that changes while it is
// read is missed (design/capture.md, reading much).
func (t *tableRun) readStart(ctx context.Context) error {
	if t.track && t.ts.Rows > maxPage {
		return t.readTracked(ctx)
	}
	if t.ts.Rows <= firstPage {
		if err := t.readPages(ctx, firstPage, true); err != nil || t.ended {
			return err
		}
	}
	if err := t.large(ctx); err != nil {
		return err
	}
	if err := t.readPages(ctx, t.pageRows(), t.track); err != nil || t.ended {
		return err
	}
	return t.readTracked(ctx)
}

// readPages reads the table in pages of so many rows. With one set it takes
// nothing unless the first page is all there is.
func (t *tableRun) readPages(ctx context.Context, size int, one bool) error {
	read := t.ahead
	if one {
		read = t.pages // nobody wants the second page
	}
	for page, err := range read(ctx, source.ReadRequest{Table: t.table, Columns: t.columns, Track: t.track, PageSize: size}) {
		if err != nil || one && !page.Last {
			return err
		}
		if err := t.takePage(ctx, &page); err != nil {
			return err
		}
		if page.Last {
			t.ended = true
			t.ts.Delta, t.ts.KeyOnly, t.ts.DeltaAt = page.Delta, false, t.started
		} else if err := t.checkpoint(ctx, page.Next); err != nil {
			return err
		}
	}
	return nil
}

// readTracked takes a token by reading the keys alone, then reads all columns,
// then what changed meanwhile.
func (t *tableRun) readTracked(ctx context.Context) error {
	if err := t.large(ctx); err != nil {
		return err
	}
	columns := []string{t.table.Key}
	if t.parts = (parts{by: t.partColumn()}); t.parts.by >= 0 {
		columns = append(columns, t.table.Columns[t.parts.by].Name)
	}
	for page, err := range t.pages(ctx, source.ReadRequest{Table: t.table, Columns: columns, Track: true}) {
		if err != nil {
			return err
		}
		t.parts.take(page.Rows)
		if page.Last {
			t.ts.Delta, t.ts.KeyOnly, t.ts.DeltaAt = page.Delta, true, t.started
		}
	}
	return t.readLong(ctx, source.Cursor{})
}

func (t *tableRun) readLong(ctx context.Context, from source.Cursor) error {
	if err := t.large(ctx); err != nil {
		return err
	}
	t.method = "full, then key-delta"
	read, division := t.ahead, t.division(from)
	if division != nil {
		read = t.pages // the source reads ahead itself
	}
	for page, err := range read(ctx, source.ReadRequest{Table: t.table, Columns: t.columns, Cursor: from, PageSize: t.pageRows(), Divide: division}) {
		if allod.KindOf(err) == allod.Invalid && t.undivided() {
			return t.readLong(ctx, source.Cursor{})
		}
		if err != nil {
			return err
		}
		t.parts.rows += int64(len(page.Rows))
		if err := t.takePage(ctx, &page); err != nil {
			return err
		}
		t.ended = page.Last
		if !page.Last {
			if err := t.checkpoint(ctx, page.Next); err != nil {
				return err
			}
		}
	}
	if t.ts.Delta == (source.Cursor{}) {
		return nil
	}
	for range settleTries {
		n, err := t.follow(ctx)
		if err != nil {
			return err
		}
		if lacking := t.lacking(); lacking && t.undivided() {
			return t.readLong(ctx, source.Cursor{})
		} else if lacking && !t.unproven {
			t.unproven = true
			t.addGap(allod.Gap{Table: t.table.Name, Kind: allod.GapConcurrentlyChanged, Rows: t.parts.keys - t.parts.rows, Reason: "the source listed more rows than it brought; the next capture reads the table whole"})
		}
		if n <= settleRows {
			return nil
		}
	}
	t.addGap(allod.Gap{Table: t.table.Name, Kind: allod.GapConcurrentlyChanged, Accepted: true, Reason: "rows changed faster than they could be read; the next capture brings the rest"})
	return nil
}

// follow reads what changed since the token and moves it on. It returns the
// number of changes.
func (t *tableRun) follow(ctx context.Context) (int, error) {
	columns, size := t.columns, firstPage
	if t.ts.KeyOnly {
		columns, size = []string{t.table.Key}, maxPage
		t.method = "key-delta"
	}
	changed := map[allod.GUID]uint64{} // → version
	var deleted, fetch []allod.GUID
	for page, err := range t.pages(ctx, source.ReadRequest{Table: t.table, Columns: columns, Cursor: t.ts.Delta, PageSize: size}) {
		if err != nil {
			return 0, err
		}
		deleted = append(deleted, page.Deleted...)
		for i := range page.Rows {
			changed[page.Rows[i].Key] = page.Rows[i].Version
			t.notes.Said(page.Rows[i].Version)
			if t.ts.KeyOnly {
				fetch = append(fetch, page.Rows[i].Key)
			}
		}
		if !t.ts.KeyOnly {
			if err := t.takePage(ctx, &page); err != nil {
				return 0, err
			}
		}
		if page.Last {
			t.ts.Delta, t.ts.DeltaAt = page.Delta, t.o.Now().UTC()
		}
	}
	// Both changed and deleted in one delta: only a fresh look tells.
	for _, id := range deleted {
		if _, both := changed[id]; both && !t.ts.KeyOnly {
			fetch = append(fetch, id)
		}
	}
	found, err := t.fetch(ctx, fetch, changed)
	if err != nil {
		return 0, err
	}
	for _, id := range deleted {
		if !found[id] {
			if t.gone == nil {
				t.gone = map[allod.GUID]bool{}
			}
			t.gone[id] = true
			delete(t.again, id)
			delete(t.behind, id)
		}
	}
	return len(changed) + len(deleted), nil
}

// fetch reads rows by id and stores them. Ids that the source has not are left
// out: they will be said to be deleted. An answer older than the version said
// is not taken, since it comes from behind the token; it is asked for again by
// the next capture, like what was not found.
func (t *tableRun) fetch(ctx context.Context, ids []allod.GUID, said map[allod.GUID]uint64) (map[allod.GUID]bool, error) {
	found := map[allod.GUID]bool{}
	if len(ids) == 0 {
		return found, nil
	}
	finder, ok := t.src.(source.Finder)
	if !ok {
		return nil, allod.Errorf(allod.Internal, "read %s: the source gives a key-only token but cannot read rows by id", t.table.Name)
	}
	for chunk := range slices.Chunk(ids, fetchBatch) {
		rows, err := finder.Get(ctx, t.table, chunk, t.columns)
		if err != nil {
			return nil, err
		}
		rows = slices.DeleteFunc(rows, func(r allod.Row) bool { return r.Version != 0 && r.Version < said[r.Key] })
		for i := range rows {
			found[rows[i].Key] = true
		}
		t.notFound(chunk, found, said)
		if err := t.takePage(ctx, &source.Page{Rows: rows}); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// takePage stores the rows of one answer and notes which of their nulls are
// still to be proven.
func (t *tableRun) takePage(ctx context.Context, page *source.Page) error {
	t.doubts.Page(page, t.secured)
	return t.store(ctx, page)
}

// store puts rows into the vault: hidden nulls and excluded columns become
// absent, files are read unless the vault has them.
func (t *tableRun) store(ctx context.Context, page *source.Page) error {
	t.watch.Took(t.table, page)
	for i := range page.Rows {
		row := &page.Rows[i]
		for _, c := range t.hidden {
			if c < len(row.Cells) && row.Cells[c].IsNull() {
				row.Cells[c] = allod.Value{}
			}
		}
		for _, c := range t.skip {
			if c < len(row.Cells) {
				row.Cells[c] = allod.Value{}
			}
		}
		if err := t.takeFiles(ctx, row); err != nil {
			return err
		}
		if err := t.w.Put(row); err != nil {
			return fatal(err)
		}
		delete(t.gone, row.Key) // said to be deleted earlier in this read: it is back
		t.note(row)
	}
	t.rows += int64(len(page.Rows))
	t.any = t.any || len(page.Rows) > 0
	t.mu.Lock()
	t.pending += page.WireBytes
	t.mu.Unlock()
	t.progress.update(func(p *Progress) { p.Rows += int64(len(page.Rows)); p.Table = t.table.Name })
	return nil
}

// checkpoint proves what a read has so far, and commits it if it is a first
// one, so that a killed run goes on from there.
func (t *tableRun) checkpoint(ctx context.Context, next source.Cursor) error {
	if t.rows < t.o.Checkpoint || next == (source.Cursor{}) {
		return nil
	}
	t.rows = 0
	if _, err := t.prove(ctx, t.asker.Moment()); err != nil || !t.first {
		return err
	}
	if err := t.finishPart(ctx, next); err != nil {
		return err
	}
	if err := t.commit(ctx, false); err != nil {
		return fatal(err)
	}
	return t.open(ctx, vault.ModeDelta)
}

func (t *tableRun) finishPart(ctx context.Context, next source.Cursor) error {
	t.settling.RLock()
	defer t.settling.RUnlock()
	c, err := t.w.Finish(ctx)
	if err != nil {
		return fatal(err)
	}
	t.addChanges(c)
	t.ts.Resume, t.ts.Left = next, t.parts.keys-t.parts.rows
	return t.record(allod.TableCarried)
}

func (t *tableRun) addChanges(c vault.Changes) {
	t.changes.Created += c.Created
	t.changes.Updated += c.Updated
	t.changes.Unchanged += c.Unchanged
	t.changes.Deleted += c.Deleted
	t.changes.Missing = c.Missing
	t.changes.Before = c.Before
	t.alive = c.After()
	if c.Erased > 0 {
		t.addGap(allod.Gap{Table: t.table.Name, Kind: allod.GapErasedReturned, Rows: c.Erased, Reason: "erased records came back in the source; they were not stored"})
	}
	if c.Lost > 0 {
		t.addGap(allod.Gap{Table: t.table.Name, Kind: allod.GapEscrowMissing, Rows: c.Lost, Reason: "no place of slots has the escrow of restricted or held records; what came of them was not stored"})
	}
}

// settle finishes the table: deletions said and proven, then its place in the
// manifest and the state.
func (t *tableRun) settle(ctx context.Context) error {
	ended := t.asker.Moment()
	t.endedAt = ended
	after, err := t.prove(ctx, ended)
	if err != nil {
		return err
	}
	reason := allod.DeleteSaid
	if after != nil && !t.ts.ReadAt.IsZero() && after.RetentionRuns[t.table.Name].After(t.ts.ReadAt) && len(t.gone) > 0 {
		reason = allod.DeleteRetention
		t.addGap(allod.Gap{Table: t.table.Name, Kind: allod.GapRetention, Rows: int64(len(t.gone)), Accepted: true, Reason: "a retention run moved rows to long-term retention; they are not lost"})
	}
	t.ts.Resume, t.ts.Left = source.Cursor{}, 0 // it is read to its end
	t.settling.RLock()
	defer t.settling.RUnlock()
	for id := range t.gone {
		if err := t.w.Delete(allod.RecordRef{Table: t.table.Name, Key: id}, reason); err != nil {
			return fatal(err)
		}
	}
	c, err := t.w.Finish(ctx)
	if err != nil {
		return fatal(err)
	}
	t.addChanges(c)
	if reason == allod.DeleteSaid {
		t.alarm(judge.LossAlarm(t.table.Name, c.Deleted, c.Before))
	}
	if t.changes.Missing > 0 {
		if err := t.settleMissing(ctx, ended); err != nil {
			return err // ends the run: the rows are finished
		}
	}
	if len(t.behind) > 0 {
		t.addGap(allod.Gap{Table: t.table.Name, Kind: allod.GapConcurrentlyChanged, Rows: int64(len(t.behind)), Accepted: true, Reason: "the source answered with less than it said had changed; the next capture asks again"})
	}
	if t.unread > 0 {
		t.addGap(allod.Gap{Table: t.table.Name, Kind: allod.GapFileUnread, Rows: t.unread, Reason: t.unreadWhy, Accepted: t.o.NoFiles})
	}
	state := allod.TableDelta
	if t.full {
		state = allod.TableFull
	}
	return t.record(state)
}

// rightsAfter asks for the rights again where they matter before the rows are
// taken over: when rows with secured columns were read, whose nulls may be
// none, or when the source said that rows are deleted.
func (t *tableRun) rightsAfter(ctx context.Context, ended int64) (*source.Rights, error) {
	secured := t.any && slices.ContainsFunc(t.table.Columns, func(c allod.Column) bool { return c.Secured })
	if t.before == nil || !secured && len(t.gone) == 0 {
		return t.before, nil
	}
	after, err := t.asker.Since(ctx, ended)
	if err != nil {
		return nil, err
	}
	was, is := slices.Clone(names(t.table, t.hidden)), slices.Clone(after.Hidden[t.table.Name])
	slices.Sort(was)
	slices.Sort(is)
	is = slices.DeleteFunc(is, func(c string) bool { return !slices.Contains(t.columns, c) })
	if secured && !slices.Equal(was, is) {
		return nil, fmt.Errorf("read %s: %w", t.table.Name, errRightsChanged)
	}
	return after, nil
}

// settleMissing decides about rows that a full read did not bring, by the
// rights before and after it.
func (t *tableRun) settleMissing(ctx context.Context, ended int64) error {
	after, err := t.asker.Since(ctx, ended)
	if ctx.Err() != nil {
		return fatal(ctx.Err())
	}
	if err != nil {
		after = nil // then they are not known
	}
	a := judge.Absence{Table: t.table.Name, Before: t.changes.Before, Missing: t.changes.Missing, Ended: t.ended, LastCapture: t.ts.ReadAt, DepthLast: t.ts.Depth}
	if t.before != nil && after != nil {
		a.RightsKnown = true
		a.DepthBefore, a.DepthAfter = t.before.Depth[t.table.Name], after.Depth[t.table.Name]
		a.RetentionRun = after.RetentionRuns[t.table.Name]
	}
	v := judge.Missing(a)
	// Where rows have keys, a second look at a few of them costs next to nothing,
	// and finds those that came back behind the page being read.
	_, can := t.src.(source.Finder)
	if (v.Ask || v.Delete && can && !t.table.Intersect) && a.Missing <= confirmMax {
		ok, err := t.confirm(ctx)
		var end *fatalError
		switch {
		case errors.As(err, &end):
			return err
		case ctx.Err() != nil:
			return fatal(ctx.Err())
		}
		a.Confirmed, a.Refuted = ok && err == nil, can && !ok && err == nil
		v = judge.Missing(a)
	}
	t.unproven = t.unproven || !v.Delete
	if v.Gap != nil {
		t.addGap(*v.Gap)
	}
	t.alarm(v.Alarm)
	if !v.Delete {
		return nil
	}
	if err := t.w.DeleteMissing(v.Reason); err != nil {
		return fatal(err)
	}
	for ref, err := range t.w.Missing(ctx) {
		if err != nil {
			return fatal(err)
		}
		t.notes.Lost(ref.Key)
	}
	t.changes.Deleted += a.Missing
	t.alive -= a.Missing
	return nil
}

// alarm notes what people are to be told; "" is nothing.
func (t *tableRun) alarm(text string) {
	if text == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alarms = append(t.alarms, text)
}

// confirm looks for the missing rows by id: true when none is there.
func (t *tableRun) confirm(ctx context.Context) (bool, error) {
	finder, ok := t.src.(source.Finder)
	if !ok {
		return false, nil
	}
	if t.table.Intersect {
		return t.confirmPairs(ctx)
	}
	var ids []allod.GUID
	look := func() (bool, error) {
		rows, err := finder.Get(ctx, t.table, ids, []string{t.table.Key})
		ids = ids[:0]
		return len(rows) == 0, err
	}
	for ref, err := range t.w.Missing(ctx) {
		if err != nil {
			return false, fatal(err)
		}
		if ids = append(ids, ref.Key); len(ids) == fetchBatch {
			if ok, err := look(); err != nil || !ok {
				return false, err
			}
		}
	}
	if len(ids) == 0 {
		return true, nil
	}
	return look()
}

// confirmPairs reads an intersect table a second time: pairs have no key to
// be asked for.
func (t *tableRun) confirmPairs(ctx context.Context) (bool, error) {
	missing := map[allod.RecordRef]bool{}
	for ref, err := range t.w.Missing(ctx) {
		if err != nil {
			return false, fatal(err)
		}
		missing[ref] = true
	}
	for page, err := range t.pages(ctx, source.ReadRequest{Table: t.table, Columns: t.columns, PageSize: t.pageRows()}) {
		if err != nil {
			return false, err
		}
		for i := range page.Rows {
			if missing[page.Rows[i].Ref()] {
				return false, nil
			}
		}
	}
	return true, nil
}

// record puts the table into the manifest and the state of the next commit.
func (t *tableRun) record(state allod.TableState) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now().UTC()
	ts := t.ts
	ts.Rows = t.alive
	m := allod.TableManifest{
		Table: t.table.Name, State: state, Rows: ts.Rows, Created: t.changes.Created, Updated: t.changes.Updated, Deleted: t.changes.Deleted,
		Started: t.started, Finished: now, HighWater: max(t.high, ts.High), Method: t.method,
	}
	t.manifests[t.table.Name] = m
	t.dirty[t.table.Name] = true
	ts.High = m.HighWater
	ts.Run = t.run.ID()
	if state != allod.TableCarried {
		ts.ReadAt = t.started
	}
	t.remember(&ts)
	if t.before != nil {
		ts.Depth = t.before.Depth[t.table.Name]
	}
	t.ts = ts
	t.state.Tables[t.table.Name] = ts
	t.witness(state)
	t.last, t.runner.read = now, max(t.runner.read, t.endedAt)
	return nil
}

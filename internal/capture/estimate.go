package capture

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"allod"
	"allod/internal/capture/reckon"
	"allod/internal/capture/sight"
	"allod/internal/source"
	"allod/internal/vault"
)

// Plan says what a backup would read. Numbers are estimates.
type Plan = reckon.Plan

// Estimate says what Run would do, without reading rows or writing anything.
// Files are counted where the source can say how long they are.
func Estimate(ctx context.Context, v *vault.Vault, src source.Source, env string, o Options) (*Plan, error) {
	o = withDefaults(o, src.Capabilities())
	schema, err := src.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("plan a backup of %s: read the schema: %w", env, err)
	}
	raw, last, err := v.CaptureState(ctx, env)
	if err != nil {
		return nil, fmt.Errorf("plan a backup of %s: %w", env, err)
	}
	state, err := decodeState(raw)
	if err != nil {
		return nil, fmt.Errorf("plan a backup of %s: %w", env, err)
	}
	r := &runner{env: env, o: o, src: src, schema: schema, state: state, started: o.Now(), manifests: map[string]allod.TableManifest{}, dirty: map[string]bool{}}
	if err := cmp.Or(r.checkTables(), r.choosePresets()); err != nil {
		return nil, err
	}
	r.asker = sight.NewAsker(src, schema)
	if r.rights, err = r.asker.Since(ctx, r.asker.Moment()); err != nil {
		return nil, fmt.Errorf("plan a backup of %s: read what the application user may see: %w", env, err)
	}
	if err := r.checkLine(ctx, last != nil); err != nil {
		return nil, err
	}
	p := &Plan{Environment: env, NewLine: r.lineWhy, Absent: r.absent()}
	todo := r.choose()
	sizes, err := r.fileSizes(ctx, todo)
	if err != nil {
		return nil, fmt.Errorf("plan a backup of %s: add up its files: %w", env, err)
	}
	for _, j := range todo {
		t, err := r.planTable(ctx, j, sizes)
		if err != nil {
			return nil, fmt.Errorf("plan a backup of %s: %w", env, err)
		}
		p.Add(t)
	}
	p.Time(src.Capabilities().Budget, o.Parallel)
	p.Gaps = r.gapList()
	slices.SortFunc(p.Tables, func(a, b reckon.Table) int { return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Table, b.Table)) })
	return p, nil
}

func (r *runner) planTable(ctx context.Context, j job, sizes map[string]source.FileSize) (reckon.Table, error) {
	t := reckon.Table{Table: j.table.Name, Method: "delta", Rows: -1, Files: len(j.files) > 0, Requests: 1}
	if j.full {
		t.Method = "full"
	}
	if j.full && !r.o.NoFiles {
		columns := make([]allod.Column, len(j.files))
		for i, c := range j.files {
			columns[i] = j.table.Columns[c]
		}
		size, known := sizes[t.Table]
		t.Count(columns, size, known)
	}
	finder, ok := r.src.(source.Finder)
	if !ok || !j.full {
		return t, nil
	}
	n, err := finder.Count(ctx, j.table)
	if err != nil && allod.KindOf(err) == allod.Unavailable {
		return t, err
	}
	if err == nil {
		t.Rows, t.Requests = n, j.planRequests(n)
		t.Twice = j.track && n > maxPage
	}
	return t, nil
}

// planRequests is how many requests a read of n rows takes from the start: a
// small page, a full one if that is not all, then the keys for a token, all
// columns, and what changed meanwhile (readStart).
func (j *job) planRequests(n int64) int64 {
	pages := func(size int64) int64 { return max((n+size-1)/size, 1) }
	full := int64(j.pageRows())
	switch {
	case n <= firstPage:
		return 1
	case n <= full:
		return 2
	case !j.track:
		return 1 + pages(full)
	}
	return 2 + pages(maxPage) + pages(full) + 1
}

// fileSizes asks how long the files of the tables to be read in full are.
func (r *runner) fileSizes(ctx context.Context, todo []job) (map[string]source.FileSize, error) {
	sizer, ok := r.src.(source.FileSizer)
	if !ok || r.o.NoFiles || !slices.ContainsFunc(todo, func(j job) bool { return j.full && len(j.files) > 0 }) {
		return nil, nil
	}
	return sizer.FileSizes(ctx, r.schema)
}

// OldestToken returns when the oldest change-tracking token of the state was
// handed out, UTC; zero when there is none.
func OldestToken(state []byte) (time.Time, error) {
	s, err := decodeState(state)
	if err != nil {
		return time.Time{}, err
	}
	var oldest time.Time
	for _, t := range s.Tables {
		if t.Delta != (source.Cursor{}) && !t.DeltaAt.IsZero() && (oldest.IsZero() || t.DeltaAt.Before(oldest)) {
			oldest = t.DeltaAt
		}
	}
	return oldest, nil
}

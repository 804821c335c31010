package capture

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"allod"
	"allod/internal/source"
	"allod/internal/vault"
)

// Plan says what a backup would read. Numbers are estimates.
type Plan struct {
	Environment string      `json:"environment"`
	Tables      []PlanTable `json:"tables"`
	Rows        int64       `json:"rows"`     // to be read; -1 parts are left out
	Requests    int64       `json:"requests"` // against the source's limits
	Bytes       int64       `json:"bytes"`    // on disk, about 400 per row read in full; files come on top
	Gaps        []allod.Gap `json:"gaps"`     // what would not be read
	NewLine     string      `json:"new_line,omitempty"`
	Absent      []string    `json:"absent,omitempty"` // tables of the presets that the environment has not
}

// PlanTable is one table of a Plan.
type PlanTable struct {
	Table  string `json:"table"`
	Method string `json:"method"` // full or delta
	Rows   int64  `json:"rows"`   // in the source; -1 = not known
	Files  bool   `json:"files"`  // has file columns, whose bytes are not estimated

	requests int64
}

const (
	planRowBytes = 400 // measured, docs/benchmarks.md
)

// Estimate says what Run would do, without reading rows or writing anything.
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
	r.asker = &rightsReader{src: src, schema: schema}
	if r.rights, err = r.asker.since(ctx, r.asker.moment()); err != nil {
		return nil, fmt.Errorf("plan a backup of %s: read what the application user may see: %w", env, err)
	}
	if err := r.checkLine(ctx, last != nil); err != nil {
		return nil, err
	}
	p := &Plan{Environment: env, NewLine: r.lineWhy, Absent: r.absent()}
	for _, j := range r.choose() {
		t, err := r.planTable(ctx, j)
		if err != nil {
			return nil, fmt.Errorf("plan a backup of %s: %w", env, err)
		}
		p.add(t)
	}
	p.Gaps = r.gapList()
	slices.SortFunc(p.Tables, func(a, b PlanTable) int { return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Table, b.Table)) })
	return p, nil
}

func (r *runner) planTable(ctx context.Context, j job) (PlanTable, error) {
	t := PlanTable{Table: j.table.Name, Method: "delta", Rows: -1, Files: len(j.files) > 0, requests: 1}
	if j.full {
		t.Method = "full"
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
		t.Rows, t.requests = n, j.planRequests(n)
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

func (p *Plan) add(t PlanTable) {
	p.Tables = append(p.Tables, t)
	p.Requests += t.requests
	if t.Rows > 0 {
		p.Rows += t.Rows
		p.Bytes += t.Rows * planRowBytes
	}
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

package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"allod"
	"allod/internal/source"
)

// Approval says under what a plan that needs two people was carried out. The
// zero value is that of a plan that needs no second one.
type Approval struct {
	Request   allod.GUID `json:"request"`
	Plan      string     `json:"plan"`       // digest of what was approved, hexadecimal
	OnePerson bool       `json:"one_person"` // fewer than two people are registered: nobody else could be asked
	Approvers []string   `json:"approvers"`  // fingerprints of their keys
}

// Approve puts an approval into the report, and into the counts that go on
// record of the restore, beside what was done besides writing rows.
func (r *Report) Approve(a Approval, counts map[string]int64) {
	if n := len(r.Numbers); n > 0 {
		counts["numbers"] = int64(n)
	}
	if r.Shared > 0 {
		counts["shared"] = r.Shared
	}
	if a.Request.IsZero() {
		return
	}
	r.Approved, r.Approval = &a, fmt.Sprintf("%d people", len(a.Approvers))
	counts["approvers"] = int64(len(a.Approvers))
	if a.OnePerson {
		r.Approval, counts["one_person"] = "one person", 1
	}
}

// Fail puts something into the report that could not be done besides writing
// rows.
func (r *Report) Fail(row allod.RecordRef, op source.OpKind, err error) {
	r.Failed++
	r.Failures = append(r.Failures, Failure{Table: row.Table, ID: row.Key, Op: op, Kind: allod.KindOf(err).String(), Reason: err.Error()})
}

// Interrupted makes of the outcome of Run what it is when ctx ended it: writes
// that were not sent any more have not failed. Other outcomes stay as they are.
func (r *Report) Interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	was := len(r.Failures)
	r.Failures = slices.DeleteFunc(r.Failures, func(f Failure) bool { return strings.Contains(f.Reason, context.Canceled.Error()) })
	r.Failed -= int64(was - len(r.Failures))
	r.Paused = "interrupted"
	end := &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("restore %s: %w", r.ID, ctx.Err())}
	return allod.WithHint(end, "Rows may be half made. `allod restore --apply %s` says what is left.", r.Plan)
}

// Counted says in one line what was done.
func (r *Report) Counted() string {
	deleted := ""
	if r.Deleted > 0 {
		deleted = fmt.Sprintf(" %d deleted,", r.Deleted)
	}
	shares := ""
	if r.Shared+r.Unshared > 0 {
		shares = fmt.Sprintf("; %d shares granted again, %d lost", r.Shared, r.Unshared)
	}
	return fmt.Sprintf("%d created, %d updated,%s %d unchanged, %d failed, %d conflicts%s", r.Created, r.Updated, deleted, r.Unchanged, r.Failed, len(r.Conflicts), shares)
}

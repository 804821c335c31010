// Package overwrite has two people approve what would change rows of a
// production environment: restores, and whatever else writes into one.
//
// A restore takes Approve as act.RestoreControl.Approve. Another act with a plan
// of its own, such as taking a restore back, asks source.StandingOf whether its
// environment is production, and if so, and if rows that exist would be changed
// or deleted, calls Require with the digest of its plan right before its first
// write, and Spend of the answer when it has come to its end:
//
//	a, err := overwrite.Require(ctx, office, digest, "take back the restore 51cc72925f96cfca in prod: delete 3 rows, change 9")
//	if err != nil { return err } // Denied, with the next step, until two people have signed
//	… // a.OnePerson and a.Approvers belong into the report and on record
//	err = a.Spend(ctx)
//
// The digest must follow from everything that decides what is written, the
// versions of the rows included, and from nothing else: the same plan made again
// is then approved already, and one that has changed is not.
package overwrite

import (
	"context"
	"fmt"

	"allod/internal/act"
	"allod/internal/act/people"
	"allod/internal/govern/approve"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
)

// Require asks two people to approve a plan that overwrites rows of production,
// and returns the approval once they have: Denied, with who has to do what,
// until then. says is one line for them, without content of records. The same
// digest asked for again is the same request, until it is spent or a week old.
// With fewer than two people registered it is granted at once, as OnePerson.
func Require(ctx context.Context, o *act.Office, digest approve.Digest, says string) (*act.Approval, error) {
	r, out, err := people.Require(ctx, o, approve.Overwrite, digest, says)
	if err != nil {
		return nil, err
	}
	a := &act.Approval{
		Approval: apply.Approval{Request: r.ID, Plan: digest.String(), OnePerson: out.OnePerson, Approvers: []string{}},
		Spend:    func(ctx context.Context) error { return people.Spend(ctx, o, r.ID) },
	}
	for _, p := range out.People {
		a.Approvers = append(a.Approvers, p.Key)
	}
	return a, nil
}

// Approve returns what act.RestoreControl.Approve wants: Require for the plan of
// a restore.
func Approve(o *act.Office) func(context.Context, act.RestoreRequest, *plan.Plan) (*act.Approval, error) {
	return func(ctx context.Context, r act.RestoreRequest, pl *plan.Plan) (*act.Approval, error) {
		digest, err := pl.Digest(r.Bypass)
		if err != nil {
			return nil, err
		}
		return Require(ctx, o, digest, says(pl))
	}
}

// says must be the same for the same plan: it is part of what is signed.
func says(pl *plan.Plan) string {
	text := fmt.Sprintf("restore %s into %s: change %s of production", pl.From, pl.To, plan.Count(pl.Overwrites(), "row"))
	if pl.Counts.Create > 0 {
		text += fmt.Sprintf(", create %d", pl.Counts.Create)
	}
	return text
}

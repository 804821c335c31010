package plan

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"allod"
	"allod/internal/source"
)

// After is what a plan does once the rows are written, or would be wise to do.
// It is no step: nothing of it is a write to a row of the plan.
type After struct {
	Seeds  []Seed  `json:"seeds,omitempty"`
	Shares *Shares `json:"shares,omitempty"`
}

// Shares says what becomes of the shares of rows that the plan makes.
type Shares struct {
	Rows   int64 `json:"rows"`   // that were shared
	Shares int64 `json:"shares"` // of them, with users and teams
	Gone   int64 `json:"gone"`   // of these, with users and teams that are gone in the target
	// Members is how many of the grants are to members of access teams, which went
	// with the rows they were made for.
	Members int64 `json:"members,omitempty"`
	// Grants are given once the rows are written; none = not asked for.
	Grants []source.Grant `json:"grants,omitempty"`
}

// Seed is a column that the platform numbers by itself and whose next number is
// not above the highest one that comes back: it would be given out again.
type Seed struct {
	Table   string `json:"table"`
	Column  string `json:"column"`
	Next    int64  `json:"next"`    // that comes next, when the plan was made
	Highest int64  `json:"highest"` // among the rows that the plan writes
	Set     bool   `json:"set"`     // it is to go on from Highest+1
}

// Beside returns what is done besides the steps, made when there is nothing yet.
func (p *Plan) Beside() *After {
	if p.After == nil {
		p.After = &After{}
	}
	return p.After
}

// SortRefs sorts records by table and key.
func SortRefs(refs []allod.RecordRef) {
	slices.SortFunc(refs, func(a, b allod.RecordRef) int {
		return cmp.Or(strings.Compare(a.Table, b.Table), bytes.Compare(a.Key[:], b.Key[:]))
	})
}

// besides is what decides what is written besides the steps.
func (p *Plan) besides() []any {
	out := p.After.decides()
	for _, r := range p.Bin {
		out = append(out, []any{"bin", r})
	}
	if p.Held != nil {
		for _, r := range p.Held.Rows {
			out = append(out, []any{"held", p.Held.Team, r})
		}
	}
	return out
}

// Held are rows that a team owns in place of their owners.
type Held struct {
	Team allod.GUID        `json:"team"`
	Name string            `json:"name"` // of the team, as it was said
	Rows []allod.RecordRef `json:"rows"` // sorted
}

// Holding returns the team for each row that is held; the map is the caller's.
func (p *Plan) Holding() map[allod.RecordRef]allod.GUID {
	out := map[allod.RecordRef]allod.GUID{}
	if p.Held != nil {
		for _, r := range p.Held.Rows {
			out[r] = p.Held.Team
		}
	}
	return out
}

// counted counts records by table, sorted by its name.
func counted(refs []allod.RecordRef, say func(table string, n int64)) {
	by := map[string]int64{}
	for _, r := range refs {
		by[r.Table]++
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		say(name, by[name])
	}
}

func (p *Plan) textHeld(t *text) {
	if p.Held == nil || len(p.Held.Rows) == 0 {
		return
	}
	t.line("\nHeld back from Exchange")
	counted(p.Held.Rows, func(table string, n int64) {
		t.para("    ", "  %s: %s made as the team's, %s, not their owners'; the same restore without --no-sync-owners gives them back", table, Count(n, "row"), p.Held.Name)
	})
}

// textBin writes how many rows come back from the recycle bin.
func (p *Plan) textBin(t *text) {
	if len(p.Bin) == 0 {
		return
	}
	t.line("\nFrom the recycle bin")
	counted(p.Bin, func(table string, n int64) {
		t.para("    ", "  %s: %s with who made it and when, then written as captured; made anew if the bin has lost it by then", table, Count(n, "row"))
	})
}

// decides is what of it decides what is written.
func (a *After) decides() []any {
	var out []any
	if a == nil {
		return nil
	}
	for _, s := range a.Seeds {
		if s.Set {
			out = append(out, []any{"seed", s.Table, s.Column, s.Highest})
		}
	}
	if a.Shares != nil {
		for _, g := range a.Shares.Grants {
			out = append(out, []any{"share", g})
		}
	}
	return out
}

func (a *After) text(t *text, max int) {
	if a == nil {
		return
	}
	if len(a.Seeds) > 0 {
		t.line("\nNumbers that would be given out again")
	}
	for i, s := range a.Seeds {
		if i == max {
			t.line("  … and %d more", len(a.Seeds)-max)
			break
		}
		what := fmt.Sprintf("--fix-seeds has it go on from %d", s.Highest+1)
		if s.Set {
			what = fmt.Sprintf("after the rows it goes on from %d", s.Highest+1)
		}
		t.para("    ", "  %s.%s: %d comes next, and rows up to %d come back; %s", s.Table, s.Column, s.Next, s.Highest, what)
	}
	if s := a.Shares; s != nil {
		t.line("\nShares")
		t.para("    ", "  %s of %s made again", Count(s.Shares, "share"), Count(s.Rows, "row"))
		if s.Gone > 0 {
			t.para("    ", "  %s with somebody who is gone", Count(s.Gone, "share"))
		}
		switch {
		case len(s.Grants) == 0 && s.Gone < s.Shares:
			t.para("    ", "  they are lost; --with-sharing grants them again")
		case len(s.Grants) > 0:
			t.para("    ", "  after the rows, %s again", Count(int64(len(s.Grants)), "grant"))
		}
		if s.Members > 0 {
			t.para("    ", "  of these, %s to members of access teams, which went with their rows", Count(s.Members, "grant"))
		}
	}
}

// Bypass says of the custom logic that a plan sets off whether the restore asks
// for it not to run.
type Bypass struct {
	Asked   []string `json:"asked,omitempty"`   // "plugins", "flows"
	Lacking string   `json:"lacking,omitempty"` // the privilege that this takes and the restorer does not hold; "" = none, or not known
}

// triggers writes what writing the rows sets off.
func (p *Plan) textTriggers(t *text, max int) {
	if len(p.Triggers) == 0 {
		return
	}
	env, _, _ := strings.Cut(p.To, "@")
	t.line("\nWriting this sets off in %s", env)
	for i, g := range p.Triggers {
		if i == max {
			t.line("  … and %d more", len(p.Triggers)-max)
			break
		}
		of := g.Table
		if of == "" {
			of = "no table said"
		}
		if len(g.Messages) > 0 {
			of += ", " + strings.Join(g.Messages, " ")
		}
		t.para("    ", "  %s “%s” (%s)", g.Kind, g.Name, of)
	}
	switch {
	case p.Bypass == nil || len(p.Bypass.Asked) == 0:
		t.para("    ", "  --bypass plugins,flows asks for them not to run; the platform's own logic runs all the same")
	case p.Bypass.Lacking != "":
		t.para("    ", "  --bypass takes the privilege %s, which the restorer does not hold: the writes will be refused", p.Bypass.Lacking)
	default:
		t.para("    ", "  each write asks for custom logic not to run (%s); the platform's own runs all the same", strings.Join(p.Bypass.Asked, ", "))
	}
}

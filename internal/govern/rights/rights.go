// Package rights is the register of what people's rights forbid: the erasures
// that were asked for, and how far each has come (design/rights.md). Everything
// here is pure; the register itself is kept in the office of the vault, as rows
// that name records by their tags alone. What was erased is not asked here but
// of the key tree: no register that is lost or put back can bring it back.
package rights

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/govern/approve"
	"allod/internal/vault"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/puncture"
)

const (
	// Wait is how long an erasure can be taken back before it is carried out,
	// unless it is urgent.
	Wait = 72 * time.Hour

	// PerDay is how many records are erased within 24 hours at most, unless it
	// is urgent: somebody who has taken over an account cannot erase everything
	// in one night.
	PerDay = 1000

	// HandedFor is how long an erasure that was handed to a process of role erase
	// may be carried out there.
	HandedFor = 24 * time.Hour

	// MaxRecords is how many records one erasure names at most.
	MaxRecords = 10_000
)

// Erasure is one request to destroy keys of records, of all that is stored of
// them or, with Rectify, of versions that are stored anew with corrections; and
// what became of it. Times are UTC with whole seconds; zero = not yet.
type Erasure struct {
	ID          allod.GUID        `json:"id"`
	Environment string            `json:"environment"`
	Tags        []vault.RecordTag `json:"tags"`              // ascending by table and tag, each once
	Past        bool              `json:"past,omitempty"`    // forget what is stored until now, admit what comes
	Urgent      bool              `json:"urgent,omitempty"`  // without the wait
	Rectify     *Rectify          `json:"rectify,omitempty"` // corrects one record, which is shown meanwhile
	Tables      []Count           `json:"tables"`            // records per table, by name
	Versions    int64             `json:"versions"`          // stored row versions that the plan found
	Kept        []Kept            `json:"kept"`              // what else names the person and stays
	Ground      string            `json:"ground,omitempty"`  // why, as typed; no content of records
	By          allod.Actor       `json:"by"`
	Asked       time.Time         `json:"asked"`
	After       uint64            `json:"after,omitempty"` // log number of the office that it was asked on top of: tells those of one second apart
	Approval    allod.GUID        `json:"approval"`        // request for approval
	Cancelled   time.Time         `json:"cancelled,omitzero"`
	Handed      *puncture.Handed  `json:"handed,omitempty"` // to a process of role erase; nil = no

	Committed    time.Time   `json:"committed,omitzero"` // when the keys were destroyed in the log
	Entry        uint64      `json:"entry,omitempty"`    // log number
	Root         uint64      `json:"root,omitempty"`
	EpochBefore  uint64      `json:"epoch_before,omitempty"`
	Epoch        uint64      `json:"epoch,omitempty"`
	AbsentBefore vlog.Digest `json:"absent_before,omitzero"`
	AbsentAfter  vlog.Digest `json:"absent_after,omitzero"`
	OnePerson    bool        `json:"one_person,omitempty"` // nobody else could be asked
	Approvers    []string    `json:"approvers,omitempty"`  // fingerprints of the keys that signed
	Places       []Place     `json:"places,omitempty"`     // of slots, and what became of the old ones
	Waits        []Item      `json:"waits,omitempty"`      // counted places that keep it from being final, as of the last look
	Final        time.Time   `json:"final,omitzero"`       // when no place had an old slot any more
	Session      string      `json:"session,omitempty"`    // of the ledger's act that the keys were destroyed
	FinalSession string      `json:"final_session,omitempty"`
}

// Count is how many records of a table.
type Count struct {
	Table   string `json:"table"`
	Records int64  `json:"records"`
}

// Place is a place of slots and when its old slots were removed.
type Place struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind,omitempty"` // folder, s3, …; "" = unknown
	Destroyed time.Time `json:"destroyed,omitzero"`
	Why       string    `json:"why,omitempty"` // why old slots are left
}

// Item is a counted place that an erasure waits for: a place of slots, a copy, a
// worker, an exported slot.
type Item struct {
	Place string    `json:"place"`
	Until time.Time `json:"until,omitzero"` // when it ends by itself; zero = somebody has to do something
	Next  string    `json:"next"`           // what
}

// Kept is where the person is named and which stays, with the ground.
type Kept struct {
	Table    string `json:"table"`
	Column   string `json:"column"`
	What     string `json:"what"`     // reference, text
	Versions int64  `json:"versions"` // stored row versions with a hit
	Records  int64  `json:"records"`
	Ground   string `json:"ground"`
}

// Order puts tags in the order in which an Erasure keeps them, each once.
func Order(tags []vault.RecordTag) []vault.RecordTag {
	out := slices.Clone(tags)
	slices.SortFunc(out, func(a, b vault.RecordTag) int {
		return strings.Compare(key(a), key(b))
	})
	return slices.Compact(out)
}

func key(t vault.RecordTag) string {
	return fmt.Sprintf("%010d %010d %x", t.Environment, t.Table, t.Tag[:])
}

// Digest is what approvers sign: the SHA-256 of the canonical JSON of what will
// be erased and how. Two erasures of the same records in the same way have the
// same digest; the id sets them apart where it is wanted.
func (e *Erasure) Digest() (approve.Digest, error) {
	b, err := json.Marshal(struct {
		Format string            `json:"format"`
		ID     allod.GUID        `json:"id"`
		Tags   []vault.RecordTag `json:"tags"`
		Past   bool              `json:"past"`
		Urgent bool              `json:"urgent"`
		Values string            `json:"values,omitempty"`
	}{"allod erasure v1", e.ID, Order(e.Tags), e.Past, e.Urgent, e.commitment()})
	if err != nil {
		return approve.Digest{}, allod.Errorf(allod.Internal, "digest an erasure: %w", err)
	}
	return sha256.Sum256(b), nil
}

// commitment is that of the values which a rectification puts in.
func (e *Erasure) commitment() string {
	if e.Rectify == nil {
		return ""
	}
	return e.Rectify.Commitment
}

// Step is what is to be done next with an erasure.
type Step string

// The steps.
const (
	StepWait    Step = "wait"    // until Decision.Until
	StepApprove Step = "approve" // people have to sign
	StepErase   Step = "erase"   // destroy the keys
	StepDestroy Step = "destroy" // remove what is left of the old slots
	StepNone    Step = "none"    // it is final, or was taken back
)

// Decision is the next step and why, one sentence each.
type Decision struct {
	Step    Step      `json:"step"`
	Until   time.Time `json:"until,omitzero"` // of a wait
	Reasons []string  `json:"reasons"`
}

// Decide says what is to be done next: a pure function of the erasure, the
// answer of approve.Decide, all erasures there are, the holds that name one of
// its records, and the time.
func Decide(e *Erasure, approval approve.Outcome, all []Erasure, held []string, now time.Time) Decision {
	switch {
	case !e.Final.IsZero():
		return Decision{Step: StepNone, Reasons: []string{"it is final since " + e.Final.Format(time.RFC3339)}}
	case !e.Committed.IsZero():
		return Decision{Step: StepDestroy, Reasons: []string{"the keys were destroyed in log entry " + fmt.Sprint(e.Entry) + "; old slots are left"}}
	case !e.Cancelled.IsZero():
		return Decision{Step: StepNone, Reasons: []string{"it was taken back on " + e.Cancelled.Format(time.RFC3339)}}
	case e.overtaken(all):
		return Decision{Step: StepNone, Reasons: []string{"its record was erased, or its past was, after it was asked for"}}
	case len(held) > 0:
		return Decision{Step: StepWait, Reasons: []string{"a legal hold names records of it: " + strings.Join(held, ", ")}}
	case !approval.Granted:
		return Decision{Step: StepApprove, Reasons: slices.Concat(approval.Reasons, approval.Missing)}
	}
	reasons := slices.Clone(approval.Reasons)
	if e.Urgent {
		return Decision{Step: StepErase, Reasons: append(reasons, "it is urgent: neither the wait nor the cap applies")}
	}
	if due := e.Asked.Add(Wait); now.Before(due) {
		return Decision{Step: StepWait, Until: due, Reasons: append(reasons, fmt.Sprintf("it can be taken back until %s, %d hours after it was asked for", due.Format(time.RFC3339), int(Wait.Hours())))}
	}
	if until, reason := capped(e, all, now); !until.IsZero() {
		return Decision{Step: StepWait, Until: until, Reasons: append(reasons, reason)}
	}
	return Decision{Step: StepErase, Reasons: append(reasons, "the wait is over")}
}

// capped returns when the cap per day lets the erasure through; zero = now. One
// that is larger than the cap goes through when nothing else was erased.
func capped(e *Erasure, all []Erasure, now time.Time) (time.Time, string) {
	var recent []Erasure
	sum := 0
	for _, o := range all {
		if o.ID != e.ID && !o.Committed.IsZero() && !o.Urgent && now.Sub(o.Committed) < 24*time.Hour {
			recent = append(recent, o)
			sum += len(o.Tags)
		}
	}
	if sum == 0 || sum+len(e.Tags) <= PerDay {
		return time.Time{}, ""
	}
	slices.SortFunc(recent, func(a, b Erasure) int { return a.Committed.Compare(b.Committed) })
	until := now
	for _, o := range recent {
		if sum == 0 || sum+len(e.Tags) <= PerDay {
			break
		}
		sum -= len(o.Tags)
		until = o.Committed.Add(24 * time.Hour)
	}
	return until, fmt.Sprintf("at most %d records are erased within 24 hours", PerDay)
}

// Hidden returns the tags that no function may show: those of every erasure
// that was asked for and neither taken back nor committed. What is only
// corrected is shown.
func Hidden(all []Erasure) []vault.RecordTag {
	var tags []vault.RecordTag
	for _, e := range all {
		if e.Rectify == nil && e.waiting() {
			tags = append(tags, e.Tags...)
		}
	}
	return Order(tags)
}

// waiting reports whether it was asked for, and neither taken back nor committed.
func (e *Erasure) waiting() bool { return e.Cancelled.IsZero() && e.Committed.IsZero() }

// overtaken reports whether it is a rectification whose record was erased since
// it was asked for: its values went with that.
func (e *Erasure) overtaken(all []Erasure) bool {
	return e.Rectify != nil && slices.ContainsFunc(all, func(o Erasure) bool {
		return o.Rectify == nil && !o.Committed.IsZero() && !o.Committed.Before(e.Asked) && slices.ContainsFunc(e.Tags, func(t vault.RecordTag) bool { return slices.Contains(o.Tags, t) })
	})
}

// Waiting is how many rectifications wait to be carried out.
func Waiting(all []Erasure) int {
	n := 0
	for i := range all {
		if all[i].Rectify != nil && all[i].waiting() && !all[i].overtaken(all) {
			n++
		}
	}
	return n
}

// Handed returns what was handed to processes of role erase, and may still be
// carried out as of now.
func Handed(all []Erasure, now time.Time) []puncture.Handed {
	var out []puncture.Handed
	for i := range all {
		if h := all[i].Handed; h != nil && all[i].waiting() && now.Before(h.Until) {
			out = append(out, *h)
		}
	}
	return out
}

// Pending is how many erasures are committed and not final.
func Pending(all []Erasure) int {
	n := 0
	for _, e := range all {
		if !e.Committed.IsZero() && e.Final.IsZero() {
			n++
		}
	}
	return n
}

// Package judge decides what a capture may conclude: whether rows that did not
// come are deleted, and whether an environment was put back to an earlier
// moment (design/capture.md). Its functions are pure and may be called
// concurrently.
package judge

import (
	"fmt"
	"time"

	"allod"
	"allod/internal/source"
)

// Absence is what is known when a full read of a table has ended and some
// rows that were there before did not come.
type Absence struct {
	Table     string
	Before    int64 // rows alive before
	Missing   int64 // of them, not seen now
	Ended     bool  // the read reached its last page
	Confirmed bool  // a second look by id found none of the missing rows
	Refuted   bool  // it found some of them

	DepthBefore source.Depth // read depth when the read began
	DepthAfter  source.Depth // and when it had ended
	DepthLast   source.Depth // in the capture before this one; DepthNone = none, or not known
	RightsKnown bool         // the source could say what its caller may read

	RetentionRun time.Time // last retention run of the table, zero = none known
	LastCapture  time.Time // when the table was last read
}

// Verdict says what a capture may conclude from an absence.
type Verdict struct {
	Delete bool               // the missing rows may be recorded as deleted
	Reason allod.DeleteReason // why, if so
	Gap    *allod.Gap         // what to say in the snapshot; nil = nothing
	Alarm  string             // for people, "" = none
	Ask    bool               // a second look by id would decide it
}

// Loss limits of design/capture.md: up to three rows or five percent need no
// second look; above a thousand rows or five percent people are told.
const (
	smallLossRows   = 3
	smallLossPerMil = 50
	alarmRows       = 1000
)

// Missing decides whether rows missing from a full read are deleted. It
// is pure. The rule and its reasons are in design/capture.md (deletions).
func Missing(a Absence) Verdict {
	if a.Missing == 0 {
		return Verdict{}
	}
	unproven := func(why string) Verdict {
		return Verdict{Gap: &allod.Gap{Table: a.Table, Kind: allod.GapDeletionsUnproven, Reason: why, Rows: a.Missing}}
	}
	switch {
	case !a.Ended:
		return unproven("the read did not reach its last page")
	case !a.RightsKnown:
		return unproven("the source cannot say what its reader may see, so absence proves nothing")
	case a.DepthBefore != source.DepthGlobal || a.DepthAfter != source.DepthGlobal:
		return unproven("the reader does not have organization-level read, so absence proves nothing")
	case a.DepthLast != source.DepthNone && a.DepthLast != a.DepthBefore && !a.Confirmed:
		u := unproven("the reader's rights changed since the last capture, and no second look has shown that the rows are gone")
		u.Ask = true
		return u
	}
	v := Verdict{Delete: true, Reason: allod.DeleteAbsent}
	if a.Missing > smallLossRows && big(a.Missing, a.Before) && !a.Confirmed {
		u := unproven(fmt.Sprintf("%d of %d rows are missing, which is too many to believe without a second look", a.Missing, a.Before))
		u.Ask = true
		return u
	}
	if a.Refuted {
		return unproven("the source has rows that the read did not bring")
	}
	if a.RetentionRun.After(a.LastCapture) {
		v.Reason = allod.DeleteRetention
		v.Gap = &allod.Gap{Table: a.Table, Kind: allod.GapRetention, Rows: a.Missing, Accepted: true, Reason: "a retention run moved rows to long-term retention; they are not lost"}
		return v
	}
	v.Alarm = LossAlarm(a.Table, a.Missing, a.Before)
	return v
}

// big says whether a loss is more than a small share of the rows before.
func big(lost, before int64) bool { return before > 0 && lost*1000 > before*smallLossPerMil }

// LossAlarm is what people are told when a table lost rows, however that is
// known: by absence, or because the source says so. "" = nothing.
func LossAlarm(table string, lost, before int64) string {
	if lost > alarmRows || lost > smallLossRows && big(lost, before) {
		return fmt.Sprintf("%s: %d of %d rows were deleted since the last capture", table, lost, before)
	}
	return ""
}
